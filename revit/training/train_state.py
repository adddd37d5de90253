"""Checkpoints: the state of a trial between two steps."""

import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from revit.training.schedules import Schedule

Row = dict[str, float]
"""Metrics at one step: `step`, `train_loss`, `lr`, `grad_norm`, `images_per_s`; at an evaluation also `val_loss` and
`val_accuracy`, and with `test_curve` `test_curve_loss` and `test_curve_accuracy`."""


@dataclass
class TrainState:
    """Everything that a trial needs to resume from a step.

    Random states are not part of it: random numbers come from (seed, step). All rows so far are, so that a resumed
    trial can report them again.

    Attributes:
        average: exponential moving average of the model's weights, if any.
        train_time_s: seconds of its training steps.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    average: ModelEmaV3 | None = None
    step: int = 0
    train_time_s: float = 0.0
    rows: list[Row] = field(default_factory=list)
    best_val_accuracy: float = -1.0
    best_model: dict[str, Tensor] | None = None

    @property
    def tested_model(self) -> nn.Module:
        """The model that is validated and tested: the average, where there is one."""
        return self.model if self.average is None else self.average.module

    def finish_step(self) -> None:
        """Count an optimizer step, and update the average."""
        self.step += 1
        if self.average is not None:
            self.average.update(self.model)

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically. The previous one stays beside it (see `latest_valid_checkpoint`).

        Raises:
            OSError: it cannot be written; names it.
        """
        record = {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state,
            "step": self.step,
            "train_time_s": self.train_time_s,
            "rows": self.rows,
            "best_val_accuracy": self.best_val_accuracy,
            "best_model": self.best_model,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        try:
            with partial.open("wb") as file:
                torch.save(record, file)
                file.flush()
                os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch raises another error where it closes a file that is cut short
            cause = error if isinstance(error, OSError) else error.__context__
            if isinstance(cause, OSError) and cause.errno:
                raise OSError(cause.errno, cause.strerror, str(path)) from error
            raise
        if path.exists():
            path.replace(_previous(path))
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Load a checkpoint that `save` wrote. Only tensors and plain values are read, never code."""
        record = torch.load(path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(record["model"])
        if self.average is not None:
            self.average.module.load_state_dict(record["average"])
        for group, own in zip(record["optimizer"]["param_groups"], self.optimizer.param_groups, strict=True):
            if "fused" in own:
                group["fused"] = own["fused"]  # this device's choice of a kernel
        self.optimizer.load_state_dict(record["optimizer"])
        _move_scalars_to_host(self.optimizer)
        self.schedule.state = record["schedule"]
        self.step = record["step"]
        self.train_time_s = record["train_time_s"]
        self.rows = record["rows"]
        self.best_val_accuracy = record["best_val_accuracy"]
        self.best_model = record["best_model"]


def _move_scalars_to_host(optimizer: torch.optim.Optimizer) -> None:
    """Move NAdam's product of momenta back to the CPU, which reads it in each step: loading puts it on the device."""
    for state in optimizer.state.values():
        if "mu_product" in state:
            state["mu_product"] = state["mu_product"].cpu()


def latest_valid_checkpoint(path: Path) -> Path | None:
    """Return the checkpoint at `path`, or the previous one if that is damaged; None if neither is intact."""
    return next((each for each in (path, _previous(path)) if _is_intact(each)), None)


def _previous(path: Path) -> Path:
    return path.with_name(path.name + ".previous")


def _is_intact(path: Path) -> bool:
    """Return True if a checkpoint matches its checksums: torch writes a zip file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # a damaged zip file raises more errors than zipfile documents
        return False
