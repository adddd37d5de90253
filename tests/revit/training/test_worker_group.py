from revit.training.worker_group import ALONE


def test_a_process_alone_is_the_only_worker() -> None:
    assert (ALONE.rank, ALONE.size) == (0, 1)
