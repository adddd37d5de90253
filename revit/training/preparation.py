"""Preparation of a trial before its first step, also in a thread while another trial trains."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from revit.budget import compile_budget
from revit.config import FineTuneConfig
from revit.datasets.batches import Batch, train_batches
from revit.models.build import build_model

if TYPE_CHECKING:
    from revit.training.fine_tune import TrialData


class Prepared(NamedTuple):
    """A trial before its first step.

    Attributes:
        model: with its initial weights, on the CPU.
        batches: of every step, in order; the first is made, and as many more as are prefetched.
    """

    model: nn.Module
    batches: Iterator[Batch]


def prepare(config: FineTuneConfig, data: "TrialData", *, pin: bool = False) -> Prepared:
    """Build the model of a trial, and make its first batches; nothing that another trial draws or computes changes.

    Args:
        pin: put the batches into pinned memory, for a GPU.

    Raises:
        InputError: model or weights cannot be used.
    """
    model = build_model(config, len(data.store.manifest.class_names), data.weights)
    steps = range(compile_budget(config, len(data.splits.train), data.splits.num_all).num_steps)
    batches = train_batches(config, data.store, data.splits.train, steps, data.num_threads, pin=pin)
    return Prepared(model, chain([next(batches)], batches))
