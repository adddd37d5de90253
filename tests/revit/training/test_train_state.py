"""Checkpoints that were torn, or changed on the disk."""

from pathlib import Path

import pytest
import torch
from torch import nn

from revit.config import ScheduleConfig
from revit.training.schedules import Schedule
from revit.training.train_state import TrainState, latest_valid_checkpoint


@pytest.fixture
def state() -> TrainState:
    model = nn.Linear(64, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return TrainState(model, optimizer, Schedule(ScheduleConfig(), 0.1, 10, 5))


def saved(state: TrainState, path: Path, step: int) -> None:
    state.step = step
    state.rows = [{"step": step}]
    state.save(path)


def step_of(state: TrainState, path: Path | None) -> int:
    assert path is not None
    state.load(path)
    return state.step


def test_the_newest_is_used_and_one_before_it_is_kept(state: TrainState, tmp_path: Path) -> None:
    path = tmp_path / "work" / "checkpoint.pt"
    assert latest_valid_checkpoint(path) is None
    for step in (1, 2, 3):
        saved(state, path, step)
        assert step_of(state, latest_valid_checkpoint(path)) == step
    assert len(list(path.parent.iterdir())) == 2


def torn(content: bytes) -> bytes:
    return content[: len(content) // 2]


def zeroed_in_the_middle(content: bytes) -> bytes:
    """What a power cut leaves of a file whose length was written before its pages."""
    middle = len(content) // 2
    return content[:middle] + bytes(512) + content[middle + 512 :]


def with_one_bit_turned(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [torn, zeroed_in_the_middle, with_one_bit_turned, lambda content: b""])
def test_of_a_damaged_one_the_one_before_is_used(state: TrainState, tmp_path: Path, damage: object) -> None:
    path = tmp_path / "checkpoint.pt"
    saved(state, path, 1)
    saved(state, path, 2)
    path.write_bytes(damage(path.read_bytes()))
    assert step_of(state, latest_valid_checkpoint(path)) == 1
    path.unlink()  # died between two renames
    assert step_of(state, latest_valid_checkpoint(path)) == 1


def test_where_all_are_damaged_there_is_none(state: TrainState, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    saved(state, path, 1)
    path.write_bytes(b"no checkpoint")
    assert latest_valid_checkpoint(path) is None
