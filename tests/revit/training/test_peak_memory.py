"""Peak memory against tensors of known size."""

from pathlib import Path

import pytest
import torch

from revit.training.peak_memory import measure_peak_memory

CPU = torch.device("cpu")
MB = 2**20


def peak_of(num_mb: int) -> float:
    peak = measure_peak_memory(CPU)
    torch.ones(num_mb * MB, dtype=torch.uint8)  # freed at once
    return peak()["peak_memory_bytes"] / MB


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux only")
@pytest.mark.parametrize("num_mb", [40, 400])
def test_on_a_cpu_it_is_the_resident_memory_above_that_at_the_start(num_mb: int) -> None:
    assert peak_of(num_mb) == pytest.approx(num_mb, abs=8)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux only")
def test_an_earlier_trial_of_the_process_does_not_hide_a_peak() -> None:
    """Neither its higher peak, nor what it freed: many small tensors, which malloc keeps for later ones."""
    peak_of(600)
    kept = [torch.ones(MB // 16, dtype=torch.uint8) for _ in range(16 * 200)]
    last = torch.ones(1)
    del kept
    assert peak_of(100) == pytest.approx(100, abs=8)
    del last


def test_where_the_system_does_not_say_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    assert measure_peak_memory(CPU)() == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_is_what_torch_had_allocated() -> None:
    device = torch.device("cuda")
    held = torch.cuda.memory_allocated(device)  # workspaces of libraries that other tests have used
    for num_mb in (600, 100):
        peak = measure_peak_memory(device)
        torch.ones(num_mb * MB, dtype=torch.uint8, device=device)
        assert peak()["peak_memory_bytes"] == pytest.approx(held + num_mb * MB, abs=MB)


def test_a_gpu_is_initialized_before_its_peak_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first trial of a worker has no tensor there yet, and torch then refuses the reset."""
    calls: list[str] = []
    for name in ("init", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, name=name: calls.append(name))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    assert measure_peak_memory(torch.device("cuda"))() == {"peak_memory_bytes": 7}
    assert calls == ["init", "reset_peak_memory_stats"]
