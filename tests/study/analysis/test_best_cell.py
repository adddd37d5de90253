"""Best cell of made-up studies, and the cells that may be better."""

from dataclasses import replace

import numpy as np
import pytest

from revit.training.metrics import METRICS
from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis.best_cell import find_best_cell, look_of
from study.analysis.contrasts import estimate_contrast, group_by_point, weighted_cells
from study.analysis.intervals import VarianceEstimate, median_variances
from tests.study.analysis.test_effects import results_of

ACCURACY = METRICS["accuracy"]
DESIGN = SequentialDesign(looks=(3, 6))
NO_FLOOR = {None: VarianceEstimate(0.0, np.inf)}


def test_many_cells_are_compared_with_the_best() -> None:
    cells = [{"a": a, "b": b} for a in range(16) for b in range(10)]
    results = group_by_point(results_of(cells, lambda a, b: 0.5 + (a == 7) * 0.2 + 1e-4 * b))
    found = find_best_cell(results, NO_FLOOR, ACCURACY)
    assert found.num_others == 159
    assert {cell["a"] for cell in found.rivals} == {7}


@pytest.mark.parametrize("design", [None, DESIGN])
def test_the_cells_that_may_be_best_are_those_that_a_corrected_test_does_not_reject(
    design: SequentialDesign | None,
) -> None:
    level = 0.05 if design is None else design.level_of(3)
    rng, num_between = np.random.default_rng(3), 0
    for _ in range(20):
        cells = [{"a": a} for a in range(5)]
        means = rng.uniform(0.80, 0.84, 5)
        trials = [
            replace(each, value=each.value + rng.normal(0, 0.004))
            for each in results_of(cells, lambda a, means=means: means[a], (0.0,) * 5)
        ]
        variances = median_variances((None, [t.value for t in trials if t.point == cell]) for cell in cells)
        best = find_best_cell(group_by_point(trials), variances, ACCURACY, design)
        for cell in cells:
            if cell == best.cell:
                continue
            counted = trials if design is None else [trial for trial in trials if trial.seed < 3]
            compared = weighted_cells(((1.0, best.cell), (-1.0, cell)), group_by_point(counted))
            p = estimate_contrast(compared, variances, ACCURACY).p_value(0.0, 1)
            assert (cell in best.rivals) == (p > level / 4)
            num_between += level / 4 < p < level
    assert num_between > 3, "the correction counts"


def test_seeds_count_up_to_a_look() -> None:
    assert look_of({0, 1, 2}, None) == (np.inf, 1.0)
    assert look_of({0, 1, 2, 3, 4}, DESIGN) == (3, pytest.approx(4))
    assert look_of({0, 1, 2, 4, 5, 6}, DESIGN) == (3, pytest.approx(4))
    assert look_of({*range(7)}, DESIGN) == (6, pytest.approx(4 / 3))
    assert look_of({0}, DESIGN) == (3, pytest.approx(4))
