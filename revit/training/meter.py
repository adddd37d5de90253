"""Metrics of training steps."""

import math
import time

import torch
from torch import Tensor

from revit.errors import DivergedError
from revit.training.train_state import Row
from revit.training.worker_group import ALONE, WorkerGroup


class Meter:
    """Metrics of training steps, kept on the device until a row of the curve is closed.

    Args:
        group: workers whose losses are parts of the loss of each step.

    Attributes:
        train_time_s: seconds of training steps, those from before a resume included, without validations and reports.
    """

    def __init__(self, train_time_s: float = 0.0, group: WorkerGroup = ALONE) -> None:
        self.train_time_s = train_time_s
        self._group = group
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] = []
        self._lr = 0.0
        self._num_images = 0
        self._started = time.perf_counter()

    def add(self, loss: Tensor, grad_norm: Tensor, lr: float, num_images: int) -> None:
        """Add one step. Does not synchronize with the device."""
        self._losses.append(loss)
        self._norms.append(grad_norm)
        self._lr = lr
        self._num_images += num_images

    def close_row(self, step: int) -> Row:
        """Return the means over the steps since the last row; synchronizes with the device once.

        Raises:
            DivergedError: a loss is not finite.
        """
        own_losses, norms = torch.stack([torch.stack(self._losses), torch.stack(self._norms)]).tolist()
        losses = [sum(shares) for shares in zip(*self._group.exchange(own_losses), strict=True)]
        for offset, loss in enumerate(losses):
            if not math.isfinite(loss):
                raise DivergedError(step - len(losses) + 1 + offset, loss)
        seconds = time.perf_counter() - self._started
        self.train_time_s += seconds
        row = {
            "step": step,
            "train_loss": sum(losses) / len(losses),
            "grad_norm": sum(norms) / len(norms),
            "lr": self._lr,
            "images_per_s": self._num_images / seconds,
        }
        self._losses, self._norms, self._num_images = [], [], 0
        self.restart_clock()
        return row

    def restart_clock(self) -> None:
        """Exclude the time since the last row from training time."""
        self._started = time.perf_counter()
