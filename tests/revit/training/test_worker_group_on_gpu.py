"""Trials of two workers on GPUs, against the trial of one process: on two GPUs by NCCL, on one by gloo."""

from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing as mp

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.models.weights import find_weights
from revit.training.fine_tune import TrialData, fine_tune
from revit.training.train_state import Row
from revit.training.worker_group import ALONE, WorkerGroup

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

VALUES: dict[str, object] = {
    "resolution": 28, "mixup": 0.4, "random_erasing": 0.5, "model.dropout": 0.1, "model.attn_dropout": 0.1,
    "model.drop_path": 0.2, "micro_batch": 6, "optimizer.name": "adamw", "optimizer.lr": 1e-3,
}  # fmt: skip


def losses(group: WorkerGroup, config: FineTuneConfig, store: ImageStore) -> list[float]:
    """Return the training losses that worker 0 reports."""
    rows: list[Row] = []
    data = TrialData.from_store(config, store, find_weights(config.model))
    device = torch.device("cuda", group.rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    fine_tune(config, data, lambda new, state: rows.extend(new), device=device, group=group)
    return [row["train_loss"] for row in rows]


def train_worker(rank: int, config: FineTuneConfig, store: ImageStore, folder: Path) -> None:
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.device_count() > 1 else "gloo"
    dist.init_process_group(backend, init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=2)
    found = losses(WorkerGroup.joined(), config, store)
    dist.destroy_process_group()
    if rank == 0:
        torch.save(found, folder / "losses")


@pytest.mark.parametrize("values", [{}, VALUES], ids=["plain", "everything"])
def test_two_workers_train_the_trial_of_one(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, values: dict[str, object]
) -> None:
    config = small.with_values(values)
    mp.spawn(train_worker, (config, digits, tmp_path), nprocs=2)
    expected = losses(ALONE, config, digits)
    assert torch.load(tmp_path / "losses") == pytest.approx(expected, rel=0.02), "up to the rounding of bf16"
