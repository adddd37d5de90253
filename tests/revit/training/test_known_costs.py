"""The table of known costs against counts and traces; its completeness: tests/study/forecast/test_cost_table.py."""

import pytest

from revit.config import FineTuneConfig
from revit.training import known_costs
from revit.training.known_costs import known_flops, known_memory
from revit.training.memory_estimate import trace_memory
from revit.training.memory_shape import CHANNELS, MIN_CLASSES, memory_config
from revit.training.trial_flops import count_flops, counted_model, flops_config

CONFIG = FineTuneConfig(dataset="digits", steps=1, resolution=28)


def test_known_flops_are_those_that_are_counted() -> None:
    config = flops_config(counted_model(CONFIG.model), 28)
    assert known_flops(config) == tuple(count_flops(config))
    assert known_flops(flops_config(counted_model(CONFIG.model), 36)) is None


@pytest.mark.parametrize(("precision", "on_gpu"), [("fp32", False), ("bf16", True)])
def test_known_memory_is_that_which_is_traced(precision: str, on_gpu: bool) -> None:
    shape = memory_config(CONFIG.with_values({"batch_size": 32}))
    known = known_memory(shape, MIN_CLASSES, precision, on_gpu=on_gpu)
    assert known is not None
    traced = trace_memory(shape, MIN_CLASSES, CHANNELS, precision, on_gpu=on_gpu)  # type: ignore[arg-type]
    for size in (1, 32, 500):
        peaks = [max(base + image * size for base, image in lines) for lines in (known, traced)]
        assert peaks[0] == pytest.approx(peaks[1], abs=100), "but a few scalars"


def test_memory_is_not_known_for_other_versions_of_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = memory_config(CONFIG)
    assert known_memory(shape, MIN_CLASSES, "fp32", on_gpu=False) is not None
    monkeypatch.setattr(known_costs, "versions", lambda: {"torch": "1.0", "timm": "0.1"})
    assert known_memory(shape, MIN_CLASSES, "fp32", on_gpu=False) is None


def test_a_head_that_is_larger_is_not_in_the_table() -> None:
    assert known_memory(memory_config(CONFIG), 1000, "fp32", on_gpu=False) is None
