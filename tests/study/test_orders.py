import pytest

from revit.errors import InputError
from study.orders import Resources, Share, share_of

ONE_GPU_EACH = {"CPU": 32.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("asked", "cluster", "share"),
    [
        ({}, {"CPU": 4.0}, Share(cpus=1, gpus=0.0, all_cpus=4, num_slots=4)),
        ({"cpus_per_trial": 3}, {"CPU": 4.0}, Share(cpus=3, gpus=0.0, all_cpus=4, num_slots=1)),
        ({}, ONE_GPU_EACH, Share(cpus=8, gpus=1.0, all_cpus=32, num_slots=4)),
        ({"gpus_per_trial": 0.5}, ONE_GPU_EACH, Share(cpus=4, gpus=0.5, all_cpus=32, num_slots=8)),
        ({"gpus_per_trial": 2.0, "cpus_per_trial": 20}, ONE_GPU_EACH, Share(20, 2.0, 32, num_slots=1)),
        ({"gpus_per_trial": 0.0}, ONE_GPU_EACH, Share(cpus=1, gpus=0.0, all_cpus=32, num_slots=32)),
        ({"compiled": True}, {"CPU": 4.0}, Share(1, 0.0, all_cpus=4, num_slots=4, compiled=True)),
    ],
)
def test_a_trial_gets_its_share_of_what_there_is(asked: dict, cluster: dict, share: Share) -> None:
    assert share_of(Resources(**asked), cluster) == share
    assert share.is_shared == (share.num_slots > 1)


def test_more_than_there_is_is_refused() -> None:
    with pytest.raises(InputError, match="a trial asks for 1 CPUs and 2 GPUs; Ray finds 4 and 0"):
        share_of(Resources(gpus_per_trial=2), {"CPU": 4.0})
