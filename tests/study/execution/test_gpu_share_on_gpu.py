"""Trials that share a GPU: a fence around each, and memory that is given back."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.training.memory_estimate import estimate_memory
from study.execution.gpu_share import set_memory_fence
from study.execution.trainable import _free_memory
from study.forecast.gpu_fit import RESERVED_SHARE, WORKSPACE_BYTES
from tests.study.execution.tasks import GRANT, task_of, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Lift the fence, and restore the precision of matrix products."""
    before = torch.get_float32_matmul_precision()
    yield
    set_memory_fence(1.0)
    torch.set_float32_matmul_precision(before)


def take(share: float) -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.empty(int(share * total), dtype=torch.uint8, device="cuda")


def test_more_than_its_share_is_refused_until_a_trial_has_the_whole_gpu() -> None:
    _free_memory()
    set_memory_fence(0.25)
    take(0.1)
    _free_memory()
    with pytest.raises(torch.OutOfMemoryError):
        take(0.25)
    set_memory_fence(1.0)
    take(0.25)
    _free_memory()


@pytest.mark.parametrize("end", ["finished", "pruned"])
def test_a_worker_holds_no_memory_between_trials(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """But the workspaces of its libraries."""

    def report(result: dict[str, Any]) -> None:
        if end == "pruned" and "rows" in result:
            raise SystemExit

    monkeypatch.setattr(tune, "report", report)
    task = task_of(small, digits, tmp_path, grant=replace(GRANT, num_gpus=0.5), is_prunable=True)
    if end == "pruned":
        with pytest.raises(SystemExit):
            train(task)
    else:
        train(task)
    assert torch.cuda.memory_reserved() <= 2 * WORKSPACE_BYTES


def test_the_peak_of_a_trial_is_at_most_what_is_reserved_for_it(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from revit.training.device import has_bf16

    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", reports.append)
    config = small.with_values({"resolution": 64, "batch_size": 128, "optimizer.name": "adamw", "optimizer.lr": 1e-3})
    train(task_of(config, digits, tmp_path, grant=replace(GRANT, num_gpus=1)))
    measured = reports[-1]["rows"][-1]["peak_memory_bytes"]
    precision: Any = "bf16" if has_bf16(torch.device("cuda")) else "fp32"
    expected = estimate_memory(config, 10, 1, precision, on_gpu=True).peak_bytes(config.batch_size)
    assert expected <= measured <= RESERVED_SHARE * expected + WORKSPACE_BYTES
