import pytest

from search_spaces.framework.ranges import Range
from study.search.conditions import Axes, exists, parents_first

AXES: Axes = {
    "decay": Range(0, 1, when={"optimizer": ("adamw", "lion"), "warmup": 3}),
    "warmup": Range(0, 9, integer=True, when={"schedule": "cosine"}),
    "schedule": ("cosine", None),
    "optimizer": {"adamw": {}, "lion": {}, "sgd": {}},
}


def test_an_axis_comes_after_those_of_its_condition() -> None:
    order = parents_first(AXES)
    assert sorted(order) == sorted(AXES)
    assert order.index("schedule") < order.index("warmup") < order.index("decay")
    assert order.index("optimizer") < order.index("decay")


@pytest.mark.parametrize(
    ("axis", "point", "expected"),
    [
        ("optimizer", {}, True),
        ("warmup", {"schedule": "cosine"}, True),
        ("warmup", {"schedule": None}, False),
        ("decay", {"optimizer": "lion", "schedule": "cosine", "warmup": 3}, True),
        ("decay", {"optimizer": "sgd", "schedule": "cosine", "warmup": 3}, False),
        ("decay", {"optimizer": "lion", "schedule": "cosine", "warmup": 4}, False),
        ("decay", {"optimizer": "lion", "schedule": None}, False),  # its parent does not exist
    ],
)
def test_an_axis_exists_where_its_condition_holds(axis: str, point: dict[str, object], expected: bool) -> None:
    assert exists(AXES[axis], point) is expected  # type: ignore[arg-type]
