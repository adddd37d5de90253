"""Speed of training the seeds of a cell together in one process, against one after the other.

    python -m benchmarks seeds_together

Together, one step of the nano ViT is one call for all seeds: torch.func stacks their weights, and each seed sees the
batches that `fine_tune` gives it. One after the other, these are the steps of `fine_tune`. Both use SGD with momentum
and gradient clipping on prepared batches, on a GPU if there is one, else on one thread. Training together is worth
keeping only if it is twice as fast, as every other part of a trial would have to support many seeds, too.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.ratios import BenchmarkResult, format_spread, ratios, time_interleaved
from revit.config import FineTuneConfig
from revit.datasets.batches import Batch, to_input, train_batch
from revit.datasets.image_store import ImageStore, open_store
from revit.models.build import build_model
from revit.models.normalization import normalization_of
from revit.models.weights import find_weights
from revit.training.device import to_device
from revit.training.fine_tune import TrialData, train_step
from revit.training.optimizers import build_optimizer

CONFIG = FineTuneConfig(
    dataset="digits", resolution=28, crop_scale=(0.6, 1.0), hflip=False, val_fraction=0.0, batch_size=32, steps=20
)
NUM_SEEDS, ROUNDS = 8, 5
MIN_SPEEDUP = 2.0

Tensors = dict[str, Tensor]


class Seed(NamedTuple):
    """One trial of the cell, with its batches in order."""

    config: FineTuneConfig
    batches: Sequence[Batch]


class Trained(NamedTuple):
    """Losses of each step and seed, (steps, seeds), in nats, with the wall time of all steps in seconds."""

    losses: Tensor
    seconds: float


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Time both ways in interleaved rounds."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    config = CONFIG.with_values({"resolution": 8, "steps": 3}) if tiny else CONFIG
    with tempfile.TemporaryDirectory() as name:
        store = open_store("digits", data_dir=Path(name), cache_dir=Path(name))
        seeds = [seed_of(config.with_values({"seed": seed}), store, device) for seed in range(2 if tiny else NUM_SEEDS)]
    num_classes = len(store.manifest.class_names)
    for train in (together, one_by_one):
        train([seed._replace(batches=seed.batches[:2]) for seed in seeds], num_classes, device)
    difference = (together(seeds, num_classes, device).losses - one_by_one(seeds, num_classes, device).losses).abs()
    ours, theirs = time_interleaved(
        1 if tiny else ROUNDS,
        lambda: together(seeds, num_classes, device).seconds,
        lambda: one_by_one(seeds, num_classes, device).seconds,
    )
    speedups = ratios(theirs, ours)
    num_steps = len(seeds[0].batches)
    return [
        BenchmarkResult(
            what=f"{len(seeds)} seeds trained together, nano ViT, {config.resolution} px",
            against="one after the other",
            ratio=median(speedups),
            target=MIN_SPEEDUP,
            at_least=True,
            details=(
                f"{format_spread(speedups)}; {1e3 * median(ours) / num_steps:.3g} ms a step of all against "
                f"{1e3 * median(theirs) / num_steps:.3g} ms, batches of {config.batch_size}, on {device.type}; "
                f"losses differ by {difference.max().item():.2g} at most"
            ),
        )
    ]


def seed_of(config: FineTuneConfig, store: ImageStore, device: torch.device) -> Seed:
    """Return a trial with its batches on the device, as `fine_tune` would make them."""
    assert config.steps is not None
    train = TrialData.from_store(config, store, None).splits.train
    return Seed(config, [train_batch(config, store, train, step).to(device) for step in range(config.steps)])


def one_by_one(seeds: Sequence[Seed], num_classes: int, device: torch.device) -> Trained:
    """Train each seed by the steps of `fine_tune`."""
    models = [_model(seed.config, num_classes, device) for seed in seeds]
    optimizers = [build_optimizer(model, seed.config.optimizer) for model, seed in zip(models, seeds, strict=True)]
    started = _now(device)
    losses = [
        torch.stack(
            [
                train_step(model, optimizer, batch, seed.config.optimizer.lr, seed.config, device)[0]
                for batch in seed.batches
            ]
        )
        for model, optimizer, seed in zip(models, optimizers, seeds, strict=True)
    ]
    return Trained(torch.stack(losses, dim=1), _now(device) - started)


def together(seeds: Sequence[Seed], num_classes: int, device: torch.device) -> Trained:
    """Train all seeds at once, one call per step."""
    models = [_model(seed.config, num_classes, device) for seed in seeds]
    weights, buffers = stack_module_state(models)
    config, model = seeds[0].config, models[0]

    def loss_of(weights: Tensors, buffers: Tensors, images: Tensor, labels: Tensor) -> Tensor:
        with sdpa_kernel(SDPBackend.MATH):  # vmap turns the fused kernels into a loop
            logits = functional_call(model, (weights, buffers), (images,))
        return nn.functional.cross_entropy(logits, labels)

    step = vmap(grad_and_value(loss_of))
    velocity = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    losses = []
    started = _now(device)
    for batches in zip(*(seed.batches for seed in seeds), strict=True):
        pixels = torch.cat([batch.images for batch in batches])
        images = to_input(pixels, normalization_of(config), device).reshape(len(seeds), -1, 3, *pixels.shape[2:])
        gradients, loss = step(weights, buffers, images, torch.stack([batch.labels for batch in batches]))
        _sgd_step(weights, velocity, gradients, config)
        losses.append(loss)
    return Trained(torch.stack(losses), _now(device) - started)


@torch.no_grad()
def _sgd_step(weights: Tensors, velocity: Tensors, gradients: Tensors, config: FineTuneConfig) -> None:
    """Update weights by SGD with momentum; gradients are clipped per seed, which is the first dimension."""
    assert config.optimizer.max_grad_norm is not None
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients.values()]).norm(dim=0)
    share = (config.optimizer.max_grad_norm / (norms + 1e-6)).clamp(max=1.0)
    for name, gradient in gradients.items():
        clipped = gradient * share.view(-1, *(1 for _ in gradient.shape[1:]))
        velocity[name].mul_(config.optimizer.momentum).add_(clipped)
        weights[name].sub_(velocity[name], alpha=config.optimizer.lr)


def _model(config: FineTuneConfig, num_classes: int, device: torch.device) -> nn.Module:
    return to_device(build_model(config, num_classes, find_weights(config.model)), device).train()


def _now(device: torch.device) -> float:
    """Return the wall time in seconds, after the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
