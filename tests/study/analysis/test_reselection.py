"""Selection of an axis' values by another validation metric, against a selection by hand."""

from dataclasses import replace

import numpy as np
import pytest

from revit.errors import InputError
from study.analysis.reselection import reselection_table
from study.plan import Plan
from tests.study.analysis.test_measured import SPACE
from tests.study.report.small_study import finish

GRID = replace(
    SPACE,
    scientific={"resolution": (8, 28), "optimizer.lr": (0.01, 0.1, 1.0)},
    seeds=(0, 1),
    metric="accuracy",
    claims=(),
)
VALUES = np.random.default_rng(0).random((12, 3))
"""Test accuracy, validation accuracy, validation loss of each trial."""


def grid_plan() -> Plan:
    plan = finish(GRID, GRID.seeds, VALUES[:, 0])
    trials = []
    for trial, (_, accuracy, loss) in zip(plan.trials, VALUES, strict=True):
        metrics = {**trial.record.metrics, "selected_val_accuracy": accuracy, "selected_val_loss": loss}
        trials.append(replace(trial, record=replace(trial.record, metrics=metrics)))
    return replace(plan, trials=trials)


@pytest.mark.parametrize(("by", "column", "best"), [("accuracy", 1, np.argmax), ("loss", 2, np.argmin)])
def test_the_best_value_by_validation_is_shown_with_its_test(by: str, column: int, best: object) -> None:
    plan = grid_plan()
    table = reselection_table(plan, "optimizer.lr", by)
    means = VALUES.reshape(2, 2, 3, 3).mean(0)  # seeds, resolutions, rates, values
    for number, row in enumerate(table.to_dict("records")):
        chosen = best(means[number, :, column])
        assert (row["resolution"], row["optimizer.lr"]) == ((8, 28)[number], (0.01, 0.1, 1.0)[chosen])
        assert (row["val"], row["mean"]) == pytest.approx((means[number, chosen, column], means[number, chosen, 0]))
        assert row["n"] == 2
    assert len(table) == 2


def test_a_study_of_one_axis_has_one_choice() -> None:
    plan = grid_plan()
    one = replace(plan, trials=[each for each in plan.trials if each.candidate.cell["resolution"] == 8])
    space = replace(GRID, scientific={"optimizer.lr": (0.01, 0.1, 1.0)}, base=GRID.base.with_values({"resolution": 8}))
    table = reselection_table(replace(one, space=space), "optimizer.lr", "loss")
    assert list(table) == ["optimizer.lr", "val", "n", "mean"]
    assert len(table) == 1


def test_wrong_input_is_named() -> None:
    plan = grid_plan()
    with pytest.raises(InputError, match=r"axis = 'lr': must be one of resolution, optimizer\.lr"):
        reselection_table(plan, "lr", "loss")
    with pytest.raises(InputError, match="by = 'train_time_s': must be one of accuracy, top5_accuracy,"):
        reselection_table(plan, "resolution", "train_time_s")
    with pytest.raises(InputError, match="not every finished trial has selected_val_macro_f1 and test_accuracy"):
        reselection_table(plan, "resolution", "macro_f1")
