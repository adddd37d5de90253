"""Speed of `fine_tune` against a bare loop over tensors in memory.

    python -m benchmarks training_step

`fine_tune` is timed from its first step to its last report, with crops from an image store, curves and reports. The
bare loop has the same arithmetic and nothing else: same model, optimizer, clipping, batch size and number of batches.
Both compute on one thread, like trials that share a CPU; `fine_tune` prepares batches on another. Seconds are processor
time of both threads.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.ratios import BenchmarkResult, format_spread, ratios, time_interleaved
from revit.config import FineTuneConfig, ModelConfig
from revit.datasets.batches import to_input, train_batches
from revit.datasets.image_store import ImageStore, open_store
from revit.models.build import build_model
from revit.models.normalization import normalization_of
from revit.models.weights import find_weights
from revit.training.fine_tune import TrialData, fine_tune
from revit.training.train_state import Row, TrainState

DEVICE = torch.device("cpu")
NANO = FineTuneConfig(
    dataset="digits", resolution=28, crop_scale=(0.6, 1.0), hflip=False, val_fraction=0.0, batch_size=32, steps=30
)
"""A trial of the nano scale, without validation."""
LARGE = FineTuneConfig(
    dataset="digits",
    resolution=224,
    val_fraction=0.0,
    model=ModelConfig(name="vit_b16_in21k", pretrained=False),
    batch_size=2,
    steps=3,
)


class Case(NamedTuple):
    """A config, with the number of rounds in which both train it."""

    name: str
    config: FineTuneConfig
    rounds: int


CASES = (
    Case("nano ViT, 28 px", NANO, rounds=31),
    Case("nano ViT, 64 px", NANO.with_values({"resolution": 64, "steps": 10}), rounds=15),
    Case("ViT-B/16, 224 px", LARGE, rounds=3),
)
TINY = (Case("nano ViT, 8 px", NANO.with_values({"resolution": 8, "steps": 3}), rounds=2),)
MIN_RATIO = 0.95


class TrainedError(Exception):
    """The last step is done. The test after it is not timed, and takes minutes with a large model."""


class Elapsed(NamedTuple):
    """Processor time of all threads, wall time, in seconds."""

    cpu_s: float
    wall_s: float

    @classmethod
    def since(cls, start: "Elapsed") -> "Elapsed":
        """Return the time since a reading of both clocks."""
        now = cls.now()
        return cls(now.cpu_s - start.cpu_s, now.wall_s - start.wall_s)

    @classmethod
    def now(cls) -> "Elapsed":
        """Read both clocks."""
        return cls(time.process_time(), time.perf_counter())


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure every case, interleaved."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        store = open_store("digits", data_dir=Path(name), cache_dir=Path(name))
        return [_measure(case, store) for case in (TINY if tiny else CASES)]


def _measure(case: Case, store: ImageStore) -> BenchmarkResult:
    config = case.config
    data = TrialData.from_store(config, store, find_weights(config.model))
    walls: dict[str, list[float]] = {"ours": [], "bare": []}

    def timed(way: str, train: Callable[[], Elapsed]) -> float:
        elapsed = train()
        walls[way].append(elapsed.wall_s)
        return elapsed.cpu_s

    ours, bare = time_interleaved(
        case.rounds,
        partial(timed, "ours", lambda: time_steps(config, data)),
        partial(timed, "bare", lambda: _bare(config, data)),
    )
    shares = ratios(bare, ours)
    by_clock = ratios(walls["bare"], walls["ours"])
    num_images = config.batch_size * config.num_steps(len(data.splits.train), data.splits.num_all)
    rates = [num_images / median(seconds) for seconds in (ours, bare)]
    return BenchmarkResult(
        what=f"training images/s, {case.name}",
        against="a bare loop over tensors in memory",
        ratio=median(shares),
        target=MIN_RATIO,
        at_least=True,
        details=(
            f"{format_spread(shares)}; {rates[0]:.3g} against {rates[1]:.3g} per second of a core, batches of "
            f"{config.batch_size}; wall time, with batches prepared on another core, {format_spread(by_clock)}"
        ),
    )


def time_steps(config: FineTuneConfig, data: TrialData) -> Elapsed:
    """Time the steps of `fine_tune` with their images, rows and reports, without building or testing the model."""
    start = Elapsed.now()
    rows: list[Row] = []

    def on_built(_: object) -> None:
        nonlocal start
        start = Elapsed.now()

    def report(new: list[Row], state: TrainState) -> None:
        rows.extend(new)
        if state.step == state.schedule.budget.num_steps:
            raise TrainedError

    try:
        fine_tune(config, data, report, device=DEVICE, on_built=on_built)
    except TrainedError:
        return Elapsed.since(start)
    raise AssertionError("fine_tune reports its last step")


def _bare(config: FineTuneConfig, data: TrialData) -> Elapsed:
    """Time the same number of steps in a bare loop."""
    model = build_model(config, len(data.store.manifest.class_names), data.weights)
    optimizer = torch.optim.SGD(model.parameters(), lr=config.optimizer.lr, momentum=config.optimizer.momentum)
    num_steps = config.num_steps(len(data.splits.train), data.splits.num_all)
    batches = [
        (to_input(batch.images, normalization_of(config), DEVICE), batch.labels)
        for batch in train_batches(config, data.store, data.splits.train, range(num_steps))
    ]
    assert config.optimizer.max_grad_norm is not None
    start = Elapsed.now()
    for images, labels in batches:
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.max_grad_norm)
        optimizer.step()
    return Elapsed.since(start)
