"""GPU utilization of a trial. Needs a GPU; --tiny runs without one.

    python -m benchmarks gpu

ViT-B/16 with random weights trains on noise, in batches of 128 at 224 px. The speed of `fine_tune`, with preparation of
images, is compared with the peak of bf16 matrix products in the same run, then with a loop like timm's train.py with
`--amp --amp-dtype bfloat16 --opt momentum --clip-grad` over tensors on the GPU. Parts of a trial are compared with
training steps: preparation of images, evaluation, compiled models. Then come a few steps that show whether a
trial synchronizes, what memory it takes, and whether two can share the GPU (`benchmarks.gpu_memory`).
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import harmonic_mean, median
from typing import Any, NamedTuple

import numpy as np
import torch
from timm.optim import create_optimizer_v2
from timm.utils import dispatch_clip_grad
from torch import nn

from benchmarks.data_pipeline import synthetic_images
from benchmarks.gpu_memory import memory_lines
from benchmarks.ratios import BenchmarkResult, format_spread, ratios, time_interleaved
from revit.config import FineTuneConfig, ModelConfig
from revit.datasets.batches import Batch, to_input, train_batches
from revit.datasets.image_store import ImageStore
from revit.models.build import build_model
from revit.models.cost import forward_gflops
from revit.models.normalization import normalization_of
from revit.training.device import autocast, compile_network, to_device
from revit.training.evaluation import evaluate
from revit.training.fine_tune import TrialData, fine_tune, train_step
from revit.training.optimizers import build_optimizer
from revit.training.train_state import Row, TrainState

PASSES = 3
"""Operations of a training step, in forward passes: the backward pass takes as many as two."""
WARM_UP = 3
"""Untimed steps, or products, before the timed ones."""
NUM_THREADS = min(8, os.cpu_count() or 1)
"""CPU threads that prepare images."""


class Scale(NamedTuple):
    """Size of the benchmark.

    Attributes:
        vit: name of the model.
        batch_size: in images.
        resolution: in pixels.
        large: batch size and resolution at which preparing images costs most.
        steps: steps of a trial with `fine_tune`, which synchronizes with the GPU at 100 of them.
        steps_alone: steps of a loop that is timed alone.
        sides: sides of the square matrices.
        rounds: interleaved rounds.
    """

    vit: str
    batch_size: int
    resolution: int
    large: tuple[int, int]
    steps: int
    steps_alone: int
    sides: tuple[int, ...]
    rounds: int


FULL = Scale(
    vit="vit_b16_in21k",
    batch_size=128,
    resolution=224,
    large=(32, 384),
    steps=300,
    steps_alone=50,
    sides=(4096, 8192, 16384),
    rounds=3,
)
TINY = Scale(
    vit="vit_nano",
    batch_size=4,
    resolution=8,
    large=(2, 16),
    steps=6,
    steps_alone=2,
    sides=(32, 64),
    rounds=1,
)


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure every comparison; compiled models on a GPU only, as compiling for a CPU takes minutes."""
    scale = TINY if tiny else FULL
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as name:
        store = synthetic_images(Path(name), (32, 32), num_train=2 * scale.batch_size)
        bench = Bench(scale, store, device)
        lines = [*bench.whole_trials(), bench.preparing(), bench.evaluating()]
        lines += memory_lines(bench.config(scale.vit), device)
        return lines + bench.compiling() if device.type == "cuda" else lines


class Bench:
    """The comparisons on one device, with one folder of images."""

    def __init__(self, scale: Scale, store: ImageStore, device: torch.device) -> None:
        self.scale, self.store, self.device = scale, store, device

    def whole_trials(self) -> list[BenchmarkResult]:
        """Compare `fine_tune` with the peak of the GPU, then with timm's loop."""
        config = self.config(self.scale.vit)
        peak = max(self._product_flops(side) for side in self.scale.sides)
        ours, theirs = time_interleaved(
            self.scale.rounds, partial(self._seconds_through_fine_tune, config), partial(self._seconds_of_timm, config)
        )
        rates = [1 / seconds for seconds in ours]
        shares = [PASSES * 1e9 * forward_gflops(config.model.name, config.resolution) * rate / peak for rate in rates]
        speedups = ratios(theirs, ours)
        what = f"{self._title(config)}, through fine_tune"
        return [
            BenchmarkResult(
                what=f"operations/s of the model, {what}",
                against="bf16 products of large matrices",
                ratio=median(shares),
                target=0.45,
                at_least=True,
                details=f"{format_spread(shares)}; {median(rates):.4g} images/s; peak {peak / 1e12:.4g} TFLOP/s",
            ),
            BenchmarkResult(
                what=f"training images/s, {what}",
                against="a loop after timm's train.py, tensors on the GPU",
                ratio=median(speedups),
                target=1.0,
                at_least=True,
                details=f"{format_spread(speedups)}; {median(rates):.4g} against {1 / median(theirs):.4g} images/s",
            ),
        ]

    def preparing(self) -> BenchmarkResult:
        """Compare preparing images, 32 px resized to the largest resolution, with training on them."""
        batch_size, resolution = self.scale.large
        config = self.config(self.scale.vit).with_values({"batch_size": batch_size, "resolution": resolution})
        prepared, trained = time_interleaved(
            self.scale.rounds,
            partial(self._seconds_of_preparing, config),
            lambda: self._seconds_of_training(to_device(self._build(config), self.device), config),
        )
        return self._line(
            f"images/s prepared, 32 to {resolution} px, {NUM_THREADS} threads", "trained on", prepared, trained, 1.0
        )

    def evaluating(self) -> BenchmarkResult:
        """Compare evaluation with training."""
        config = self.config(self.scale.vit)
        model = to_device(self._build(config), self.device)
        evaluated, trained = time_interleaved(
            self.scale.rounds,
            partial(self._seconds_of_evaluating, model, config),
            partial(self._seconds_of_training, model, config),
        )
        return self._line(f"images/s evaluated, {self._title(config)}", "trained on", evaluated, trained, 2.5)

    def compiling(self) -> list[BenchmarkResult]:
        """Compare compiled models with eager ones. No trial uses CUDA graphs, the second way."""
        config = self.config(self.scale.vit)
        ways: dict[str, Callable[[nn.Module], Any]] = {
            "compiled": compile_network,
            "compiled into CUDA graphs": partial(torch.compile, dynamic=False, mode="reduce-overhead"),
        }
        lines = []
        for way, compile_ in ways.items():
            model = to_device(self._build(config), self.device)
            ours, plain = time_interleaved(
                self.scale.rounds,
                partial(self._seconds_of_training, compile_(model), config),
                partial(self._seconds_of_training, model, config),
            )
            what = f"training images/s, {self._title(config)}, {way}"
            lines.append(self._line(what, "not compiled", ours, plain, None))
        return lines

    def _line(
        self, what: str, against: str, ours: list[float], others: list[float], target: float | None
    ) -> BenchmarkResult:
        """Return a line of the table from seconds per image."""
        speedups = ratios(others, ours)
        return BenchmarkResult(
            what=what,
            against=against,
            ratio=median(speedups),
            target=target,
            at_least=True,
            details=f"{format_spread(speedups)}; {1 / median(ours):.4g} against {1 / median(others):.4g} images/s",
        )

    def config(self, model: str) -> FineTuneConfig:
        """Return the config of every comparison, with a model."""
        return FineTuneConfig(
            dataset=self.store.manifest.dataset,
            resolution=self.scale.resolution,
            val_fraction=0.0,
            model=ModelConfig(name=model, pretrained=False),
            batch_size=self.scale.batch_size,
            steps=self.scale.steps,
        )

    def _title(self, config: FineTuneConfig) -> str:
        return f"{config.model.name}, {config.resolution} px, batches of {config.batch_size}"

    def _build(self, config: FineTuneConfig) -> nn.Module:
        return build_model(config, len(self.store.manifest.class_names), None)

    def _batches(self, config: FineTuneConfig, count: int) -> Iterator[Batch]:
        """Yield batches as `fine_tune` gets them."""
        train = TrialData.from_store(config, self.store, None).splits.train
        return train_batches(config, self.store, train, range(count), NUM_THREADS, pin=self.device.type == "cuda")

    def _seconds_of(self, work: Callable[[], object]) -> float:
        """Return the wall time of a call, from an idle device until it is idle again, in seconds."""
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _product_flops(self, side: int) -> float:
        """Return the operations per second of products of square bf16 matrices."""
        left, right = (torch.randn(side, side, device=self.device).bfloat16() for _ in range(2))

        def multiply(times: int) -> None:
            for _ in range(times):
                torch.mm(left, right)

        multiply(WARM_UP)
        return self.scale.steps_alone * 2 * side**3 / self._seconds_of(partial(multiply, self.scale.steps_alone))

    def _seconds_through_fine_tune(self, config: FineTuneConfig) -> float:
        """Return the seconds per image in the second half of a trial, without building, evaluating and testing."""
        rows: list[Row] = []

        def report(new: list[Row], _: TrainState) -> None:
            rows.extend(new)

        data = TrialData.from_store(config, self.store, None, NUM_THREADS)
        fine_tune(config, data, report, device=self.device)
        return 1 / harmonic_mean([row["images_per_s"] for row in rows[len(rows) // 2 :]])

    def _seconds_of_timm(self, config: FineTuneConfig) -> float:
        """Return the seconds per image of steps as in timm's train.py, which lets cuDNN choose the fastest kernels."""
        model = self._build(config).to(self.device).train()
        optimizer = create_optimizer_v2(
            model, opt="momentum", lr=config.optimizer.lr, weight_decay=0.0, momentum=config.optimizer.momentum
        )
        moved = [batch.to(self.device) for batch in self._batches(config, 2)]
        tensors = [(to_input(batch.images, normalization_of(config), self.device), batch.labels) for batch in moved]

        limit = config.optimizer.max_grad_norm
        assert limit is not None

        def train(steps: int) -> None:
            for images, labels in islice(cycle(tensors), steps):
                with autocast(self.device):
                    loss = nn.functional.cross_entropy(model(images), labels)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                dispatch_clip_grad(model.parameters(), value=limit, mode="norm")
                optimizer.step()
                optimizer.zero_grad()

        before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
        train(WARM_UP)
        seconds = self._seconds_of(partial(train, self.scale.steps_alone))
        torch.backends.cudnn.benchmark = before
        return seconds / (self.scale.steps_alone * config.batch_size)

    def _seconds_of_training(self, model: nn.Module, config: FineTuneConfig) -> float:
        """Return the seconds per image of training steps on prepared batches."""
        optimizer = build_optimizer(model, config.optimizer)
        batches = list(self._batches(config, 2))
        model.train()

        def train(steps: int) -> None:
            for batch in islice(cycle(batches), steps):
                train_step(model, optimizer, batch, config.optimizer.lr, config, self.device)

        train(WARM_UP)
        return self._seconds_of(partial(train, self.scale.steps_alone)) / (self.scale.steps_alone * config.batch_size)

    def _seconds_of_evaluating(self, model: nn.Module, config: FineTuneConfig) -> float:
        """Return the seconds per image of evaluation on prepared batches."""
        [batch] = self._batches(config, 1)

        def predict(times: int) -> None:
            indices = np.arange(times * config.batch_size)
            evaluate(model, [batch] * times, indices, normalization_of(config), self.device)

        predict(WARM_UP)
        return self._seconds_of(partial(predict, self.scale.steps_alone)) / (self.scale.steps_alone * config.batch_size)

    def _seconds_of_preparing(self, config: FineTuneConfig) -> float:
        """Return the seconds per image of preparing batches, after threads and pinned memory are allocated."""
        batches = self._batches(config, WARM_UP + self.scale.steps_alone)
        for _ in range(WARM_UP):
            next(batches)
        start = time.perf_counter()
        num_images = sum(len(batch.labels) for batch in batches)
        return (time.perf_counter() - start) / num_images
