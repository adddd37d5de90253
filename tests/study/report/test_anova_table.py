"""The ANOVA of a grid on the page."""

import itertools
from dataclasses import replace

from study.report.anova_table import anova_context
from tests.study.report.small_study import SPACE, finish, study_of

GRID = replace(SPACE, scientific={**SPACE.scientific, "schedule.name": ("cosine", "constant")}, claims=())


def test_a_grid_of_three_axes_has_a_row_for_each_axis_and_each_pair() -> None:
    accuracies = itertools.cycle((0.5, 0.6, 0.71, 0.8, 0.9))
    table = anova_context(study_of(finish(GRID, (0, 1), accuracies)))["anova"]
    assert all(f">{title}</th>" in table for title in ("resolution", "position embedding", "schedule"))
    assert table.count("<tr>") == 1 + 3 + 3


def test_a_study_of_two_axes_has_none() -> None:
    assert anova_context(study_of(finish(SPACE, (0, 1), itertools.repeat(0.5)))) == {"anova": ""}
