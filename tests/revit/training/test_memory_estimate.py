"""Estimated memory against the memory that the allocator of a real step hands out."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from revit.config import FineTuneConfig
from revit.datasets.batches import _scale_and_shift, to_input
from revit.models.build import build_model, empty_model
from revit.models.normalization import NORMALIZATIONS
from revit.training.fine_tune import train_step
from revit.training.memory_estimate import _batch, _Float32Islands, _upper_hull, estimate_memory, trace_memory
from revit.training.memory_shape import WITHOUT_EFFECT, MemoryEstimate, memory_config
from revit.training.optimizers import build_optimizer

CPU = torch.device("cpu")
NUM_CLASSES = 10
ADAMW = {"optimizer.name": "adamw", "optimizer.weight_decay": 0.1}
VIT_TI = {"model.name": "vit_tiny_patch16_224", "resolution": 224, "batch_size": 4}


def config_of(**values: Any) -> FineTuneConfig:
    own = {"model.name": "vit_nano", "model.pretrained": False, "resolution": 28, "batch_size": 32}
    return FineTuneConfig(dataset="digits", steps=1).with_values({**own, **values})


def allocated_by_a_real_step(config: FineTuneConfig, channels: int) -> int:
    """Return the peak of what the second step finds and allocates, in bytes."""
    model = build_model(config, NUM_CLASSES, None).train()
    optimizer = build_optimizer(model, config.optimizer)
    average = ModelEmaV3(model, config.ema_decay) if config.ema_decay else None
    batch = _batch(config, channels, config.batch_size)

    def step() -> None:
        train_step(model, optimizer, batch, 0.1, config, CPU)
        if average is not None:
            average.update(model)

    step()
    optimizer.zero_grad(set_to_none=True)
    modules = [model, *([] if average is None else [average.module])]
    kept = [each for module in modules for each in (*module.parameters(), *module.buffers())]
    kept += [each for state in optimizer.state.values() for each in state.values() if isinstance(each, Tensor)]
    storages = [each.untyped_storage() for each in (*kept, batch.images, batch.labels)]
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        step()
    assert profiler.profiler is not None
    events = [each for each in profiler.profiler.kineto_results.events() if each.name() == "[memory]"]
    now = peak = sum({each.data_ptr(): each.nbytes() for each in storages}.values())
    for event in sorted(events, key=lambda each: each.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


SHORT: dict[str, tuple[int, dict[str, Any]]] = {
    "nano ViT": (1, {}),
    "nano ViT, micro-batches": (3, {"micro_batch": 8, "batch_size": 24}),
    "nano ViT, AdamW, average, mixup": (1, {**ADAMW, "ema_decay": 0.9, "mixup": 0.2}),
    "nano ViT, little but the optimizer": (1, {**ADAMW, "batch_size": 2}),
    "LoRA": (1, {"model.adapter": "lora"}),
    "head alone": (1, {"model.trained": "head"}),
    "nano BiT": (1, {"model.name": "bit_nano", "resolution": 64}),
    "ViT-Ti": (3, {**VIT_TI, **ADAMW}),
}
LONG: dict[str, tuple[int, dict[str, Any]]] = {
    "LoRA, micro-batches": (1, {"model.adapter": "lora", "micro_batch": 8}),
    "ViT-Ti, micro-batches": (3, {**VIT_TI, "batch_size": 8, "micro_batch": 4}),
    "ViT-B/16": (3, {"model.name": "vit_b16_in21k", "resolution": 224, "batch_size": 8}),
    "BiT-R50x1": (3, {"model.name": "bit_r50x1_in21k", "resolution": 224, "batch_size": 16}),  # below, 9 MB of oneDNN
}
CASES = [
    *(pytest.param(*each, id=name) for name, each in SHORT.items()),
    *(pytest.param(*each, id=name, marks=pytest.mark.long) for name, each in LONG.items()),
]


@pytest.mark.parametrize(("channels", "values"), CASES)
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_the_estimate_is_within_one_percent_of_a_real_step(channels: int, values: dict[str, Any]) -> None:
    config = config_of(**values)
    estimate = estimate_memory(config, NUM_CLASSES, channels, "fp32", on_gpu=False)
    peak = estimate.peak_bytes(config.micro_batch or config.batch_size)
    real = allocated_by_a_real_step(config, channels)
    print(f"estimated {peak / 1e6:.2f} MB, allocated {real / 1e6:.2f} MB, ratio {peak / real:.4f}")
    assert peak == pytest.approx(real, rel=0.01)


@pytest.mark.parametrize("size", [2, 7, 64])
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_one_trace_gives_the_memory_of_every_micro_batch(size: int) -> None:
    config = config_of(**ADAMW, resolution=8)
    estimate = estimate_memory(config, NUM_CLASSES, 1, "fp32", on_gpu=False)
    real = allocated_by_a_real_step(config.with_values({"batch_size": size}), 1)
    image_bytes = estimate.batch_bytes // config.batch_size
    assert estimate.peak_bytes(size) - estimate.batch_bytes + size * image_bytes == pytest.approx(real, rel=0.01)


@given(moments=st.sets(st.tuples(st.integers(0, 1000), st.integers(0, 50)), min_size=1))
def test_the_lines_are_as_high_as_all_moments(moments: set[tuple[int, int]]) -> None:
    hull = _upper_hull(moments)
    for size in range(60):
        assert max(base + image * size for base, image in hull) == max(base + image * size for base, image in moments)
    assert len(hull) <= len(moments)


def test_fields_without_effect_have_none() -> None:
    config = config_of(**ADAMW, resolution=8, batch_size=1009)
    values = {"model.head_init": "normal", "hflip": True, "train_crop": "padded", "schedule.name": "plateau"}
    changed = config.with_values({**WITHOUT_EFFECT, **values, "normalization": "imagenet"})
    assert memory_config(changed) == memory_config(config)
    traces = [trace_memory(each, NUM_CLASSES, 1, "bf16", on_gpu=True) for each in (changed, memory_config(config))]
    of_changed, of_config = (MemoryEstimate(lines, 0) for lines in traces)
    for size in (1, 32, 1000):
        assert of_changed.peak_bytes(size) == pytest.approx(of_config.peak_bytes(size), abs=100), "but a few scalars"


def test_the_largest_micro_batch_is_the_last_that_fits() -> None:
    estimate = estimate_memory(config_of(**ADAMW), NUM_CLASSES, 1, "fp32", on_gpu=True)
    for size in (5, 32):
        peak = estimate.peak_bytes(size)
        assert [estimate.largest_micro_batch(limit) for limit in (peak - 1, peak)] == [size - 1, size]
    assert estimate.largest_micro_batch(min(base for base, _ in estimate.lines)) == 0


def test_a_fused_optimizer_adds_its_state_and_nothing_else() -> None:
    """AdamW on a GPU: weights, gradients, two moments; and a few numbers for each tensor."""
    config = config_of(**ADAMW, resolution=8)
    num_bytes = 4 * sum(4 * each.numel() for each in empty_model(config, NUM_CLASSES).parameters())
    estimate = estimate_memory(config, NUM_CLASSES, 1, "fp32", on_gpu=True)
    whole = estimate.peak_bytes(1) - estimate.batch_bytes
    assert num_bytes <= whole == pytest.approx(num_bytes, rel=0.01)


def test_trials_that_need_the_same_are_traced_once() -> None:
    estimate_memory(config_of(), NUM_CLASSES, 1, "fp32", on_gpu=True)
    before = trace_memory.cache_info().misses
    others: list[dict[str, Any]] = [{"seed": 3}, {"optimizer.lr": 0.3}, {"steps": None, "epochs": 2}]
    for values in others:
        estimate_memory(config_of(**values), NUM_CLASSES, 1, "fp32", on_gpu=True)
    assert trace_memory.cache_info().misses == before


def test_norms_keep_float32_as_on_a_gpu() -> None:
    norm, x = nn.GroupNorm(2, 4), torch.ones(2, 4, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = F.conv2d(x, torch.ones(4, 4, 1, 1))
        assert features.dtype == norm(features).dtype == torch.bfloat16
        with _Float32Islands():
            assert norm(features).dtype == torch.float32


def test_images_are_normalized_in_a_process_that_has_traced() -> None:
    """Constants that are kept from fake tensors would leave images as they are, and raise nothing."""
    _scale_and_shift.cache_clear()
    trace_memory.__wrapped__(memory_config(config_of()), NUM_CLASSES, 1, "fp32", on_gpu=False)
    white = torch.full((1, 1, 1, 1), 255, dtype=torch.uint8)
    assert to_input(white, NORMALIZATIONS["inception"], CPU).flatten().tolist() == [1.0, 1.0, 1.0]
