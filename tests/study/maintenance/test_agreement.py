"""Agreement of two results of one trial."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from revit.training.metrics import Predictions
from revit.training.prediction_file import Evaluation, write_predictions
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.maintenance.agreement import MAX_RELATIVE, Disagreement, find_differences

RECORD = TrialRecord(
    run_id="r",
    identity="a",
    state=TrialState.FINISHED,
    last_step=5,
    metrics={"test_accuracy": 0.5, "test_loss": 1.0, "shifted/test_accuracy": 0.4, "selected_val_loss": 2.0},
    params={},
    tags={"study.b": "yes", "point.b": "lr=2", "study.a": "yes", "point.a": "lr=1"},
)
CLASSES = np.array([0, 1, 2, 1])


def write(path: Path, classes: Mapping[str, np.ndarray], confidence: float = 0.5) -> Path:
    """Write predictions of each split, four images each."""
    index, logits = np.arange(4), np.zeros((4, 3), np.float16)
    share = np.full(4, confidence, np.float32)
    found = {name: Predictions(index, CLASSES, each, share, share, index) for name, each in classes.items()}
    write_predictions(path, {name: Evaluation(each, logits, None) for name, each in found.items()})
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "here.parquet", {"test": CLASSES, "val": CLASSES})


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"test_loss": 1.0 + MAX_RELATIVE / 2}, []),
        ({"test_loss": 1.0 + 2 * MAX_RELATIVE}, ["test_loss"]),
        ({"shifted/test_accuracy": 0.41, "selected_val_loss": 2.1}, ["selected_val_loss", "shifted/test_accuracy"]),
        ({"test_loss": math.nan}, ["test_loss"]),
        ({"train_time_s": 9.0, "peak_memory_bytes": 1.0}, []),
    ],
)
def test_metrics_of_test_and_validation_images_are_compared(
    file: Path, changes: dict[str, float], names: list[str]
) -> None:
    here = replace(RECORD, metrics={**RECORD.metrics, "train_time_s": 1.0})
    there = replace(here, metrics={**here.metrics, **changes})
    found = find_differences(here, there, file, file)
    assert [each.name for each in found] == names
    assert find_differences(there, there, file, file) == [], "NaN is equal to NaN"


def test_of_predictions_the_class_of_each_image_counts(file: Path, tmp_path: Path) -> None:
    other = CLASSES.copy()
    other[2] = 0
    rounded = write(tmp_path / "rounded", {"test": CLASSES, "val": CLASSES}, confidence=0.5001)
    ordered = write(tmp_path / "ordered", {"val": CLASSES, "test": CLASSES})
    changed = write(tmp_path / "changed", {"test": CLASSES, "val": other})
    fewer = write(tmp_path / "fewer", {"test": CLASSES})
    assert [find_differences(RECORD, RECORD, file, each) for each in (rounded, ordered)] == [[], []]
    [found] = find_differences(RECORD, RECORD, file, changed)
    assert found == ("predicted classes", "", "1 of 8 images differ")
    assert find_differences(RECORD, RECORD, file, fewer)[0][1:] == (
        "8 in predictions.parquet",
        "4 in predictions.parquet",
    )
    [found] = find_differences(RECORD, RECORD, file, tmp_path / "absent")
    assert found == ("predictions.parquet", "a file", "missing")


@pytest.mark.parametrize(
    ("states", "num"),
    [
        ((TrialState.FINISHED, TrialState.DIVERGED), 1),
        ((TrialState.DIVERGED, TrialState.DIVERGED), 0),
        ((TrialState.FINISHED, TrialState.PRUNED), 0),
        ((TrialState.PRUNED, TrialState.DIVERGED), 0),
    ],
)
def test_states_must_agree_unless_one_was_pruned(states: tuple[TrialState, TrialState], num: int, file: Path) -> None:
    here, there = (replace(RECORD, state=state, metrics={"test_loss": float(len(state))}) for state in states)
    assert len(find_differences(here, there, file, file)) == num


def test_a_disagreement_has_the_point_of_the_first_study() -> None:
    assert Disagreement(here=RECORD, there=RECORD, differences=()).point == "lr=1"
    assert Disagreement(here=replace(RECORD, tags={}), there=RECORD, differences=()).point == ""
