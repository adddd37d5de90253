"""Fields that decide about the memory of a trial; traces are in test_memory_estimate.py."""

from typing import Any

import pytest

from revit.config import FineTuneConfig
from revit.training.memory_shape import (
    MIN_CLASSES,
    WITHOUT_EFFECT,
    MemoryEstimate,
    memory_config,
    micro_batch_of,
    shape_memory,
)

CONFIG = FineTuneConfig(dataset="digits", steps=1, resolution=28)
ESTIMATE = MemoryEstimate(lines=((500, 1), (100, 10)), batch_bytes=7)


def test_the_largest_line_is_the_peak() -> None:
    assert [ESTIMATE.peak_bytes(size) for size in (1, 44, 45, 100)] == [508, 551, 557, 1107]


@pytest.mark.parametrize("size", [1, 44, 45, 300])
def test_the_largest_micro_batch_is_the_last_that_fits(size: int) -> None:
    peak = ESTIMATE.peak_bytes(size)
    assert [ESTIMATE.largest_micro_batch(limit) for limit in (peak - 1, peak)] == [size - 1, size]


def test_nothing_fits_where_the_weights_alone_do_not() -> None:
    assert ESTIMATE.largest_micro_batch(506) == 0


SAME: list[dict[str, Any]] = [
    {"seed": 3, "optimizer.lr": 0.5, "steps": None, "epochs": 4, "schedule.name": "plateau"},
    {"dataset": "photos", "hflip": False, "train_crop": "padded", "normalization": "imagenet"},
    {"batch_size": 7, "model.pos_embed": "none", "selection": "best_val"},
]
OTHERS: list[dict[str, Any]] = [
    {"resolution": 32},
    {"model.name": "bit_nano"},
    {"optimizer.name": "adamw"},
    {"ema_decay": 0.9},
    {"mixup": 0.2},
    {"model.trained": "head"},
    {"model.adapter": "lora"},
    {"micro_batch": 16},
    {"model.dropout": 0.1},
]


@pytest.mark.parametrize("values", SAME)
def test_trials_that_need_the_same_have_one_shape(values: dict[str, Any]) -> None:
    assert memory_config(CONFIG.with_values(values)) == memory_config(CONFIG)


@pytest.mark.parametrize("values", OTHERS)
def test_trials_that_need_more_or_less_have_a_shape_of_their_own(values: dict[str, Any]) -> None:
    assert memory_config(CONFIG.with_values(values)) != memory_config(CONFIG)
    assert not values.keys() & WITHOUT_EFFECT.keys()


def test_the_strength_of_a_regularizer_does_not_matter() -> None:
    weak, strong = (memory_config(CONFIG.with_values({"mixup": each})) for each in (0.1, 0.4))
    assert weak == strong


def test_a_shape_has_the_memory_of_at_least_its_smallest_head() -> None:
    small, least = (shape_memory(CONFIG, each, "fp32", on_gpu=False) for each in (10, MIN_CLASSES))
    assert small == least
    assert micro_batch_of(CONFIG.with_values({"micro_batch": 500})) == CONFIG.batch_size
