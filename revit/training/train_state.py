"""What a trial needs to go on from a step, and keeping it on disk."""

import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from revit.training.optimizers import Schedule

Row = dict[str, float]
"""Metrics at one step: `step`, `train_loss`, `lr`, `grad_norm`, `images_per_s`; where the model was looked at,
`val_loss` and `val_accuracy`, and with `test_curve` also `test_curve_loss` and `test_curve_accuracy`."""


@dataclass
class TrainState:
    """All that a trial needs to go on from a step: what is saved, and loaded, to resume.

    Random numbers are no part of it: they come from (seed, step). All rows so far are, so that whoever
    listened and died can be told again.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    step: int = 0
    rows: list[Row] = field(default_factory=list)
    best_val_accuracy: float = -1.0
    best_model: dict[str, Tensor] | None = None

    def save(self, path: Path) -> None:
        """Write to a temporary name, then rename. What was at `path` stays beside it (`latest_valid_checkpoint`)."""
        record = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state,
            "step": self.step,
            "rows": self.rows,
            "best_val_accuracy": self.best_val_accuracy,
            "best_model": self.best_model,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            torch.save(record, file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            path.replace(_previous(path))
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Take over what `save` wrote. Only tensors and plain values are read, never code."""
        record = torch.load(path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(record["model"])
        self._load_optimizer(record["optimizer"])
        self.schedule.state = record["schedule"]
        self.step = record["step"]
        self.rows = record["rows"]
        self.best_val_accuracy = record["best_val_accuracy"]
        self.best_model = record["best_model"]

    def _load_optimizer(self, saved: dict[str, Any]) -> None:
        """Load it, but keep this device's kernel, which may be another than that of the one that saved."""
        for group, own in zip(saved["param_groups"], self.optimizer.param_groups, strict=True):
            group["fused"] = own["fused"]
        self.optimizer.load_state_dict(saved)


def latest_valid_checkpoint(path: Path) -> Path | None:
    """The checkpoint saved to `path`, or the one before it where that is torn; None where there is no whole one."""
    return next((each for each in (path, _previous(path)) if _is_intact(each)), None)


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def _is_intact(path: Path) -> bool:
    """Whether a checkpoint's bytes are those that were written: torch writes a zip file, with checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # a zip file may be torn in more ways than zipfile has errors for
        return False
