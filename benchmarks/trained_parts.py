"""Cost of trained parts of a ViT, of optimizers. Needs a GPU; --tiny runs without one.

    python -m benchmarks trained_parts

Two papers state these at their own scale: Touvron et al. 2022 (arXiv:2203.09795) of fine-tuning the attention alone,
Kumar et al. 2024 (arXiv:2211.09359) of SGD without momentum and with a frozen embedding. ViTs with random weights train
on noise, on a GPU in bf16. Each round builds each model anew, so that no other model is in memory. Speed is that of
training steps on one batch. Peak memory is that of weights, gradients, the optimizer's state, activations.
"""

import math
from itertools import product
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.ratios import BenchmarkResult, format_spread, ratios, time_call
from revit.config import FineTuneConfig
from revit.datasets.batches import Batch
from revit.models.build import empty_model
from revit.training.device import to_device
from revit.training.fine_tune import train_step
from revit.training.optimizers import build_optimizer
from revit.training.peak_memory import NAME as PEAK_MEMORY
from revit.training.peak_memory import measure_peak_memory

NUM_CLASSES = 10
WARM_UP = 2
"""Untimed steps: they load kernels, and create the optimizer's state."""
ADAMW = {"optimizer.name": "adamw", "optimizer.weight_decay": 0.05}
SGD = {"optimizer.name": "sgd", "optimizer.momentum": 0.9}
FROZEN = {**SGD, "model.frozen": "embedding"}
OPTIMIZERS = {
    "AdamW": ADAMW,
    "SGD": SGD,
    "SGD, frozen embedding": FROZEN,
    "SGD without momentum, frozen embedding": {**FROZEN, "optimizer.momentum": 0.0},
}


class Scale(NamedTuple):
    """Size of the benchmark.

    Attributes:
        models: the small, the middle and the large model.
        parts: pairs of a resolution in pixels and an optimizer at which parts are compared.
        batch_size: of the comparison of parts.
        resolution: at which optimizers of the large model are compared, in pixels.
        batch_sizes: at which they are.
        steps: timed steps of a round.
        rounds: builds of each model.
    """

    models: tuple[str, ...]
    parts: tuple[tuple[int, str], ...]
    batch_size: int
    resolution: int
    batch_sizes: tuple[int, ...]
    steps: int
    rounds: int


FULL = Scale(
    models=tuple(f"deit3_{size}_patch16_224" for size in ("small", "base", "large")),
    parts=((384, "AdamW"), (384, "SGD"), (224, "AdamW")),
    batch_size=64,
    resolution=224,
    batch_sizes=(16, 32, 64, 128),
    steps=4,
    rounds=3,
)
TINY = Scale(
    models=("vit_nano_small",),
    parts=((28, "AdamW"),),
    batch_size=2,
    resolution=28,
    batch_sizes=(2,),
    steps=1,
    rounds=1,
)


class Cost(NamedTuple):
    """Cost of training steps.

    Attributes:
        seconds: wall time per image.
        peak_bytes: peak memory of a GPU; NaN on a CPU.
        num_trained: trained parameters.
    """

    seconds: float
    peak_bytes: float
    num_trained: int


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure parts of each model against the whole, then optimizers of the large model against AdamW."""
    scale = TINY if tiny else FULL
    lines = []
    for model, (resolution, optimizer) in product(scale.models, scale.parts):
        variants = {
            part: _config(model, resolution, scale.batch_size, {**OPTIMIZERS[optimizer], "model.trained": part})
            for part in ("all", "attention", "mlp")
        }
        title = f"{model}, {resolution} px, batches of {scale.batch_size}, {optimizer}"
        lines += _against_first(variants, title, scale)
    for batch_size in scale.batch_sizes:
        model = scale.models[-1]
        variants = {name: _config(model, scale.resolution, batch_size, values) for name, values in OPTIMIZERS.items()}
        lines += _against_first(variants, f"{model}, {scale.resolution} px, batches of {batch_size}", scale)
    return lines


def _config(model: str, resolution: int, batch_size: int, values: dict[str, Any]) -> FineTuneConfig:
    config = FineTuneConfig(dataset="cifar10", resolution=resolution, batch_size=batch_size, steps=1)
    return config.with_values({"model.name": model, "model.pretrained": False, "normalization": "inception", **values})


def _against_first(variants: dict[str, FineTuneConfig], title: str, scale: Scale) -> list[BenchmarkResult]:
    """Return a line for each variant but the first, against the first."""
    rounds = [{name: _train(config, scale.steps) for name, config in variants.items()} for _ in range(scale.rounds)]
    first, *others = variants
    return [_line(f"{title}: {name}", first, [(costs[name], costs[first]) for costs in rounds]) for name in others]


def _line(title: str, against: str, rounds: list[tuple[Cost, Cost]]) -> BenchmarkResult:
    """Return peak memory against another variant's; speed and trained parameters go to the details."""
    speedups = ratios([other.seconds for _, other in rounds], [own.seconds for own, _ in rounds])
    own_speed, other_speed = (1 / median(cost.seconds for cost in costs) for costs in zip(*rounds, strict=True))
    own, other = rounds[-1]
    memory = f"{own.peak_bytes / 1e9:.2f} against {other.peak_bytes / 1e9:.2f} GB"
    speed = f"speed {format_spread(speedups)}, {own_speed:.4g} against {other_speed:.4g} images/s"
    return BenchmarkResult(
        what=f"peak memory, {title}",
        against=against,
        ratio=own.peak_bytes / other.peak_bytes,
        target=None,
        at_least=False,
        details=f"{memory}; {speed}; trained parameters {own.num_trained / other.num_trained:.3f}",
    )


def _train(config: FineTuneConfig, steps: int) -> Cost:
    """Build the model of a config, and train it on a batch of noise."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peak = measure_peak_memory(device)
    model = _build(config, device)
    optimizer = build_optimizer(model, config.optimizer)
    generator = torch.Generator().manual_seed(0)
    shape = (config.batch_size, 3, config.resolution, config.resolution)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    batch = Batch(images, torch.arange(config.batch_size) % NUM_CLASSES).to(device)

    def train(count: int) -> None:
        for _ in range(count):
            train_step(model, optimizer, batch, config.optimizer.lr, config, device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    train(WARM_UP)
    seconds = time_call(lambda: train(steps)) / (steps * config.batch_size)
    num_trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return Cost(seconds, peak()[PEAK_MEMORY] if device.type == "cuda" else math.nan, num_trained)


def _build(config: FineTuneConfig, device: torch.device) -> nn.Module:
    """Build the model of a trial on its device, with random weights that the GPU draws in milliseconds."""
    model = to_device(empty_model(config, NUM_CLASSES).to_empty(device=device), device)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.02)
    return model.train()
