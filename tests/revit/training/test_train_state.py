"""Checkpoints that are truncated or corrupted on disk."""

from pathlib import Path

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import nn

from revit.budget import Budget
from revit.config import ScheduleConfig
from revit.training.schedules import Schedule
from revit.training.train_state import TrainState, latest_valid_checkpoint

FULL = Path("/dev/full")


@pytest.fixture
def state() -> TrainState:
    model = nn.Linear(64, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return TrainState(model, optimizer, Schedule(ScheduleConfig(), 0.1, Budget(10, 5, 0, (10,))))


def save(state: TrainState, path: Path, step: int) -> None:
    state.step = step
    state.rows = [{"step": step}]
    state.save(path)


def step_of(state: TrainState, path: Path | None) -> int:
    assert path is not None
    state.load(path)
    return state.step


def test_the_latest_is_used_and_the_previous_one_is_kept(state: TrainState, tmp_path: Path) -> None:
    path = tmp_path / "work" / "checkpoint.pt"
    assert latest_valid_checkpoint(path) is None
    for step in (1, 2, 3):
        save(state, path, step)
        assert step_of(state, latest_valid_checkpoint(path)) == step
    assert len(list(path.parent.iterdir())) == 2


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_named_with_the_file(state: TrainState, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.with_name("checkpoint.pt.partial").symlink_to(FULL)
    with pytest.raises(OSError, match=r"No space left on device: '.*/checkpoint\.pt'$"):
        state.save(path)


def test_the_average_is_of_the_weights_after_each_step_and_survives_a_checkpoint(tmp_path: Path) -> None:
    """The oracle is the closed form for weights 0, 1, 2, 3: the first are those before any step."""
    decay, path = 0.75, tmp_path / "checkpoint.pt"
    first, resumed = (with_average(nn.Linear(2, 2), decay) for _ in range(2))
    for step in (1, 2):
        nn.init.constant_(first.model.weight, step)
        first.finish_step()
    first.save(path)
    resumed.load(path)
    for state in (first, resumed):
        nn.init.constant_(state.model.weight, 3)
        state.finish_step()
        assert state.step == 3
        expected = (1 - decay) * (3 + decay * 2 + decay**2 * 1)
        torch.testing.assert_close(state.tested_model.weight, torch.full((2, 2), expected))
        assert torch.equal(state.tested_model.bias, first.model.bias), "never changed, so equal to the bit"


def with_average(model: nn.Linear, decay: float) -> TrainState:
    nn.init.zeros_(model.weight)
    nn.init.constant_(model.bias, 0.1)
    schedule = Schedule(ScheduleConfig(), 0.1, Budget(10, 5, 0, (10,)))
    return TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1), schedule, ModelEmaV3(model, decay))


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def zeroed_in_the_middle(content: bytes) -> bytes:
    """Simulate a power cut after the length of a file was written, before its pages."""
    middle = len(content) // 2
    return content[:middle] + bytes(512) + content[middle + 512 :]


def with_one_bit_flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [truncated, zeroed_in_the_middle, with_one_bit_flipped, lambda content: b""])
def test_the_previous_one_is_used_if_the_latest_is_damaged(state: TrainState, tmp_path: Path, damage: object) -> None:
    path = tmp_path / "checkpoint.pt"
    save(state, path, 1)
    save(state, path, 2)
    path.write_bytes(damage(path.read_bytes()))
    assert step_of(state, latest_valid_checkpoint(path)) == 1
    path.unlink()  # killed between two renames
    assert step_of(state, latest_valid_checkpoint(path)) == 1


def test_there_is_none_if_all_are_damaged(state: TrainState, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save(state, path, 1)
    path.write_bytes(b"no checkpoint")
    assert latest_valid_checkpoint(path) is None
