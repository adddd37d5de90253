"""Variance between seeds, pooled over records of the ledger."""

import math
from typing import Any

import pytest

from study.analysis.seed_variance import pooled_variances
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState


def record(accuracy: float, seed: int, **differs: Any) -> TrialRecord:
    params = {"dataset": "digits", "model.name": "vit_nano", "steps": "5", "seed": str(seed)}
    tags = {"digest.data": "0", "study.x": "yes"}
    return TrialRecord(
        run_id="r",
        identity="i",
        state=differs.pop("state", TrialState.FINISHED),
        last_step=5,
        metrics={"test_accuracy": accuracy},
        params={**params, **{name.replace("__", "."): value for name, value in differs.items() if name != "data"}},
        tags={**tags, "digest.data": differs.get("data", "0"), f"launch {seed}": str(seed)},
    )


def test_it_is_pooled_over_trials_that_differ_only_by_seed() -> None:
    records = [
        record(0.90, 0), record(0.92, 1),
        record(0.80, 0, steps="9"), record(0.80, 1, steps="9"), record(0.83, 2, steps="9"),
        record(0.10, 0, data="other"),
        record(0.10, 3, state=TrialState.DIVERGED),
        record(0.50, 0, dataset="photos"),
        record(0.50, 0, model__name="bit"), record(0.54, 1, model__name="bit"),
    ]  # fmt: skip
    found = pooled_variances(records)
    assert set(found) == {("digits", "vit_nano"), ("digits", "bit")}
    assert found["digits", "vit_nano"] == pytest.approx(((2 * 0.01**2 + 6e-4) / 3, 3))
    assert math.sqrt(found["digits", "bit"].variance) == pytest.approx(0.04 / math.sqrt(2))


def test_single_seeds_have_no_variance() -> None:
    assert pooled_variances([record(0.9, 0), record(0.8, 0, steps="9")]) == {}
