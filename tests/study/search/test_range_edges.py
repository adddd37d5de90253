"""Edges of nuisance axes: when one is too narrow, and which one to search instead."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces.framework.axes import NuisanceAxis
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.planning import Planner
from study.search.cell_search import CellSearch
from study.search.range_edges import range_edges
from tests.study.searched_study import BASE, SPACE, at_best_lr, make_planner, searched_plan

LR, DECAY, WARMUP, SMOOTHING = "optimizer.lr", "optimizer.weight_decay", "schedule.warmup", "label_smoothing"


def wider(axis: NuisanceAxis, best: Value, name: str = LR, constraint: object = None) -> NuisanceAxis | None:
    """Return the wider axis that is proposed where a value is the best one; None for no edge."""
    space = SearchSpace(
        name="edges", question="?", base=BASE, scientific={"optimizer.name": ("sgd",)}, nuisance={name: axis},
        constraint=constraint,
    )  # fmt: skip
    [search] = [_over(space, {name: best})]
    found = list(range_edges(space, [search]))
    assert len(found) <= 1
    assert all((edge.name, edge.value, edge.narrow) == (name, best, axis) for edge in found)
    return found[0].wider if found else None


class Over(CellSearch):
    """A search that is over, with a best point."""

    point: Mapping[str, Value]

    @property
    def chosen(self) -> Mapping[str, Value]:
        return self.point


def _over(space: SearchSpace, point: Mapping[str, Value]) -> CellSearch:
    search = Over(cell=space.list_cells()[0], points=(), num_points=1, num_seeds=1, objectives=("accuracy",))
    object.__setattr__(search, "point", point)
    return search


@pytest.mark.parametrize(
    ("axis", "best", "expected"),
    [
        (Range(1e-5, 0.1, log=True), 0.0955, Range(1e-5, 10, log=True)),
        (Range(1e-5, 0.1, log=True), 0.041, Range(1e-5, 10, log=True)),
        (Range(1e-5, 0.1, log=True), 0.039, None),  # 89.8 % of the four decades
        (Range(1e-5, 0.1, log=True), 2.4e-5, Range(1e-7, 0.1, log=True)),
        (Range(1e-5, 0.1, log=True), 2.6e-5, None),
        (Range(0.001, 0.3, log=True), 0.3, Range(0.001, 5, log=True)),
        (Range(0.2, 1.2), 1.15, Range(0.2, 1.7)),
        (Range(0.1, 1.2), 0.15, Range(0.031, 1.2)),  # a learning rate is above 0
        ((0.001, 0.003, 0.01, 0.03), 0.03, (0.001, 0.003, 0.01, 0.03, 0.09)),
        ((0.001, 0.003, 0.01, 0.03), 0.001, (0.00033, 0.001, 0.003, 0.01, 0.03)),
        ((0.001, 0.003, 0.01, 0.03), 0.01, None),
        ((0.1, 0.2, 0.3), 0.3, (0.1, 0.2, 0.3, 0.4)),
        ((0.3, 0.2, 0.1), 0.3, (0.4, 0.3, 0.2, 0.1)),
        ((0.1, 0.2), 0.2, None),  # two values are a choice
        ((0.1, 0.3, 0.2), 0.2, None),  # in no order
    ],
)  # fmt: skip
def test_a_best_value_at_an_edge_has_a_wider_axis(
    axis: NuisanceAxis, best: Value, expected: NuisanceAxis | None
) -> None:
    assert wider(axis, best) == expected


@pytest.mark.parametrize(
    ("name", "axis", "best", "expected"),
    [
        (WARMUP, Range(0, 5, integer=True), 0, None),
        (WARMUP, Range(2, 5, integer=True), 2, Range(0, 5, integer=True)),
        (WARMUP, (0, 2, 4), 0, None),
        (WARMUP, (0, 2, 4), 4, (0, 2, 4, 6)),
        (SMOOTHING, Range(0.5, 0.95), 0.95, Range(0.5, 0.98)),
        ("crop_scale", {"whole": {"crop_scale": (1.0, 1.0)}, "half": {"crop_scale": (0.5, 1.0)}}, "half", None),
        ("schedule.name", ("cosine", "linear", "constant"), "constant", None),
    ],
)  # fmt: skip
def test_an_edge_that_the_config_does_not_allow_to_move_is_the_end(
    name: str, axis: NuisanceAxis, best: Value, expected: NuisanceAxis | None
) -> None:
    assert wider(axis, best, name) == expected


def test_the_constraint_of_the_study_ends_an_axis() -> None:
    axis = (0.001, 0.01, 0.1)
    assert wider(axis, 0.1) == (0.001, 0.01, 0.1, 1)
    assert wider(axis, 0.1, constraint=lambda config: config.optimizer.lr < 0.5) is None


def test_whole_numbers_stay_whole() -> None:
    longer = wider((2, 4, 8), 8, WARMUP)
    assert isinstance(longer, tuple)
    assert longer == (2, 4, 8, 16)
    assert all(isinstance(each, int) for each in longer)


@pytest.fixture
def planner(tmp_path: Path, cache_dir: Path) -> Planner:
    return make_planner(tmp_path, cache_dir, replace(SPACE, search=Search(sampler="random", num_trials=12)))


def test_only_searches_that_are_over_have_edges(planner: Planner) -> None:
    plan = searched_plan(planner, at_best_lr(100))
    assert {search.chosen[LR] for search in plan.searches if search.chosen} == {0.0697, 0.0425}
    sgd, adamw = range_edges(planner.space, plan.searches)
    assert (sgd.cell.values["optimizer.name"], sgd.wider) == ("sgd", Range(1e-4, 3, log=True))
    assert (adamw.name, adamw.value) == (DECAY, 0.00105)
    assert adamw.wider == Range(6e-5, 0.3, log=True, when={"optimizer.name": "adamw"}), "to paste as it is"
    assert list(range_edges(planner.space, searched_plan(planner, at_best_lr(100), 11).searches)) == []
