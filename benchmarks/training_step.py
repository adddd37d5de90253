"""How fast `fine_tune` trains, held against a bare loop over tensors that lie in memory.

    python -m benchmarks training_step

Ours is timed from before its first step to its last report: images cropped from an image store, curves kept, reports
made. The bare loop does the same arithmetic and nothing else: same model, optimizer, clipping, batch size and number of
batches. Both compute on one thread, as trials do that share a CPU; ours prepares batches on another. Seconds are the
process's own, of both its threads, as what the second takes is missing to another trial.
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
"""As the studies of the nano scale train, without validation, which is no training."""
LARGE = FineTuneConfig(
    dataset="digits",
    resolution=224,
    val_fraction=0.0,
    model=ModelConfig(name="vit_b16_in21k", pretrained=False),
    batch_size=2,
    steps=3,
)


class Case(NamedTuple):
    """A config, and in how many rounds both ways train it."""

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
    """The last step is done: what follows, the test, is not timed, and takes minutes of a large model."""


class Elapsed(NamedTuple):
    """Seconds that some steps took: of processors, over all threads, and by the clock."""

    used_s: float
    wall_s: float

    @classmethod
    def since(cls, begun: "Elapsed") -> "Elapsed":
        """What has passed since then."""
        now = cls.now()
        return cls(now.used_s - begun.used_s, now.wall_s - begun.wall_s)

    @classmethod
    def now(cls) -> "Elapsed":
        """Both clocks."""
        return cls(time.process_time(), time.perf_counter())


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Every case, in rounds in which both ways take turns."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        store = open_store("digits", data_dir=Path(name), cache_dir=Path(name))
        return [_measure(case, store) for case in (TINY if tiny else CASES)]


def _measure(case: Case, store: ImageStore) -> BenchmarkResult:
    config = case.config
    data = TrialData.from_store(config, store, find_weights(config.model))
    walls: dict[str, list[float]] = {"ours": [], "bare": []}

    def timed(way: str, train: Callable[[], Elapsed]) -> float:
        took = train()
        walls[way].append(took.wall_s)
        return took.used_s

    ours, bare = time_interleaved(
        case.rounds,
        partial(timed, "ours", lambda: _ours(config, data)),
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
        remarks=(
            f"{format_spread(shares)}; {rates[0]:.3g} against {rates[1]:.3g} per second of a core, batches of "
            f"{config.batch_size}; by the clock, batches prepared on another core, {format_spread(by_clock)}"
        ),
    )


def _ours(config: FineTuneConfig, data: TrialData) -> Elapsed:
    """The steps of `fine_tune`, their images, rows and reports; neither building the model nor testing it."""
    begun = Elapsed.now()
    rows: list[Row] = []

    def on_built(_: object) -> None:
        nonlocal begun
        begun = Elapsed.now()

    def report(new: list[Row], state: TrainState) -> None:
        rows.extend(new)
        if state.step == state.schedule.num_steps:
            raise TrainedError

    try:
        fine_tune(config, data, report, device=DEVICE, on_built=on_built)
    except TrainedError:
        return Elapsed.since(begun)
    raise AssertionError("fine_tune reports its last step")


def _bare(config: FineTuneConfig, data: TrialData) -> Elapsed:
    """As many steps as one writes them down."""
    model = build_model(config, len(data.store.manifest.class_names), data.weights)
    optimizer = torch.optim.SGD(model.parameters(), lr=config.optimizer.lr, momentum=config.optimizer.momentum)
    num_steps = config.num_steps(len(data.splits.train), data.splits.num_all)
    batches = [
        (to_input(batch.images, normalization_of(config), DEVICE), batch.labels)
        for batch in train_batches(config, data.store, data.splits.train, range(num_steps))
    ]
    assert config.optimizer.max_grad_norm is not None
    begun = Elapsed.now()
    for images, labels in batches:
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.max_grad_norm)
        optimizer.step()
    return Elapsed.since(begun)
