from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from revit.config import FineTuneConfig
from revit.datasets.store import ImageStore
from revit.weights import find_weights
from study.trainable import CHECKPOINT, Order, train_trial


class WorkerDiedError(Exception):
    pass


@pytest.mark.parametrize("val_fraction", [0.0, 0.1])
def test_a_trial_whose_worker_dies_goes_on_from_its_last_look(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, val_fraction: float
) -> None:
    """With and without validation images; what was reported before is reported again, marked as such."""
    config = small.with_values({"val_fraction": val_fraction})
    weights = find_weights(config.model)
    order = Order(
        identity="i", config=asdict(config), images=str(digits.folder), weights=str(weights), work=str(tmp_path),
        device="cpu", num_threads=1, keep_model=False,
    )  # fmt: skip
    told: list[dict[str, Any]] = []

    def report(result: dict[str, Any]) -> None:
        told.append(deepcopy(result))
        if "rows" in result and result["rows"][-1]["step"] == dies_at:
            raise WorkerDiedError

    monkeypatch.setattr(tune, "report", report)
    dies_at: int | None = 9
    with pytest.raises(WorkerDiedError):
        train_trial({"order": asdict(order)})
    assert (tmp_path / CHECKPOINT).exists(), "looks are after steps 4, 8 and 12"
    dies_at = None
    told.clear()
    train_trial({"order": asdict(order)})
    repeated, *rest = [result for result in told if "rows" in result]
    assert repeated["repeated"]
    assert repeated["rows"][-1]["step"] == 8
    assert not any(result["repeated"] for result in rest)
    steps = [row["step"] for result in (repeated, *rest) for row in result["rows"]]
    assert steps == list(range(1, 13))
    assert told[-1]["outcome"] == "finished"
