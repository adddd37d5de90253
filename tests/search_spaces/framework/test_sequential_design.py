"""Looks of a sequential design and their levels."""

import math

import pytest
from scipy import stats

from revit.errors import InputError
from search_spaces.framework import sequential_design
from search_spaces.framework.sequential_design import OBRIEN_FLEMING, POCOCK, SPENDING, SequentialDesign
from study.analysis import intervals


@pytest.mark.parametrize(
    ("smallest", "largest", "looks"),
    [
        (3, 10, (3, 4, 6, 10)),
        (3, 5, (3, 4, 5)),
        (3, 4, (3, 4)),
        (1, 3, (2, 3)),
        (3, 20, (3, 5, 10, 20)),
        (8, 1000, (8, 40, 200, 1000)),
    ],
)
def test_looks_grow_by_a_constant_factor(smallest: int, largest: int, looks: tuple[int, ...]) -> None:
    assert SequentialDesign.between(smallest, largest).looks == looks


@pytest.mark.parametrize("spending", SPENDING)
def test_the_levels_of_all_looks_add_up_to_the_level_of_a_fixed_plan(spending: str) -> None:
    design = SequentialDesign(looks=(3, 4, 6, 10), spending=spending)
    levels = [design.level_of(look) for look in design.looks]
    assert min(levels) > 0
    assert sum(levels) == pytest.approx(sequential_design.LEVEL, rel=1e-12) == intervals.LEVEL


def test_spending_functions_are_those_of_lan_and_demets() -> None:
    assert SPENDING[OBRIEN_FLEMING](0.3, 0) == pytest.approx(
        2 * stats.norm.sf(stats.norm.isf(0.025) / math.sqrt(0.3)) / 0.05
    )
    assert SPENDING[POCOCK](0.3, 0) == pytest.approx(math.log(1 + (math.e - 1) * 0.3))


@pytest.mark.parametrize(("smallest", "largest"), [(3, 3), (3, 1), (1, 2)])
def test_seeds_that_do_not_add_any_are_refused(smallest: int, largest: int) -> None:
    with pytest.raises(InputError, match=f"--max-seeds = {largest}: must be above the {max(smallest, 2)} seeds"):
        SequentialDesign.between(smallest, largest)


def test_a_design_is_read_back_from_its_text() -> None:
    design = SequentialDesign(looks=(2, 7, 9), spending=POCOCK, exponent=1.5, level=0.01)
    assert SequentialDesign.from_text({"other": "rule", **design.to_text()}) == design
    assert SequentialDesign.from_text({"other": "rule"}) is None


def test_the_look_that_follows() -> None:
    design = SequentialDesign.between(3, 10)
    assert [design.next_look(num_seeds) for num_seeds in (0, 3, 5, 9, 10)] == [3, 4, 6, 10, None]
    assert str(design) == "looks at 3, 4, 6, 10 seeds, at levels of 0.45, 0.35, 1, 3.2 %"
