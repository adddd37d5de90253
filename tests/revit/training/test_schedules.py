"""Schedules against their closed forms, then PyTorch's."""

import math
from collections.abc import Callable
from typing import get_args, get_type_hints

import pytest
import torch

from revit.budget import Budget
from revit.config import ScheduleConfig
from revit.training.schedules import SCHEDULES, Schedule

CLOSED_FORMS: dict[str, Callable[[float], float]] = {
    "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
    "linear": lambda t: 1 - t,
    "exponential": lambda t: math.exp(t * math.log(0.25)),
    "multistep": lambda t: 1,  # tested separately: its milestones count from the first step
    "plateau": lambda t: 1,
    "constant": lambda t: 1,
}


def budget_of(num_steps: int, steps_per_epoch: int, num_warmup: int = 0) -> Budget:
    return Budget(num_steps, steps_per_epoch, num_warmup, (num_steps,))


def test_table_and_config_have_the_same_schedules() -> None:
    assert SCHEDULES.keys() == set(get_args(get_type_hints(ScheduleConfig)["name"])) == CLOSED_FORMS.keys()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 7])
@pytest.mark.parametrize("peak", [0.1, 3e-5])
def test_every_schedule_equals_its_closed_form(name: str, warmup: int, peak: float) -> None:
    config = ScheduleConfig(name=name, end_factor=0.25, milestones=())
    schedule = Schedule(config, peak, budget_of(50, 10, warmup))
    for step in range(50):
        expected = (step + 1) / warmup if step < warmup else CLOSED_FORMS[name]((step - warmup) / (50 - warmup))
        assert schedule.lr(step) == pytest.approx(peak * expected, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cosine", lambda o, n: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=n)),
        ("linear", lambda o, n: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.0, total_iters=n)),
        ("exponential", lambda o, n: torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.01 ** (1 / n))),
    ],
)
def test_schedules_equal_pytorchs_stepped_every_step(name: str, make: Callable[..., object]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    oracle = make(optimizer, 40)
    schedule = Schedule(ScheduleConfig(name=name), 0.1, budget_of(40, 10))
    for step in range(40):
        assert schedule.lr(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        oracle.step()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cosine", lambda o, n: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=n)),
        ("exponential", lambda o, n: torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.9)),
    ],
)
def test_schedules_updated_by_the_epoch_equal_pytorchs_stepped_every_epoch(
    name: str, make: Callable[..., object]
) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    oracle = make(optimizer, 10)
    schedule = Schedule(ScheduleConfig(name=name, update="epoch", end_factor=0.9**10), 1e-3, budget_of(10 * 7, 7))
    for step in range(10 * 7):
        assert schedule.lr(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        if step % 7 == 6:
            oracle.step()


@pytest.mark.parametrize("t_max", [7, 9])
@pytest.mark.parametrize("num_processes", [1, 2, 4, 8])
def test_cosine_with_t_max_equals_pytorchs_stepped_by_every_process(t_max: int, num_processes: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=t_max)
    schedule = Schedule(ScheduleConfig(t_max=t_max / num_processes), 0.01, budget_of(200, 50))
    for step in range(200):
        assert schedule.lr(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-8)
        optimizer.step()
        for _ in range(num_processes):
            oracle.step()


@pytest.mark.parametrize(
    ("num_steps", "warmup", "milestones"), [(10_000, 500, (3000, 6000, 9000)), (500, 100, (200, 300, 400))]
)
def test_multistep_divides_by_ten_after_each_milestone(
    num_steps: int, warmup: int, milestones: tuple[int, ...]
) -> None:
    config = ScheduleConfig(name="multistep", milestones=tuple(each / num_steps for each in milestones))
    schedule = Schedule(config, 0.003, budget_of(num_steps, 10, warmup))
    for step in range(warmup, num_steps):
        rate = 0.003
        for milestone in milestones:
            if milestone < step:
                rate /= 10
        assert schedule.lr(step) == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize(("factor", "patience"), [(0.5, 1), (0.1, 0), (0.5, 3)])
def test_plateau_equals_pytorchs(factor: float, patience: int) -> None:
    losses = [3, 2, 2, 2, 2, 1.5, 1.6, 1.7, 1.4, 1.39999, 1.39995, 1.3999, 1.3998, 1.3, 1.29999, 1.29998]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience, eps=0)
    config = ScheduleConfig(name="plateau", plateau_factor=factor, plateau_patience=patience)
    schedule = Schedule(config, 0.1, budget_of(100, 10))
    for loss in losses:
        schedule.update_plateau(loss)
        oracle.step(loss)
        assert schedule.lr(50) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)


def test_only_plateau_depends_on_validation() -> None:
    for name in SCHEDULES.keys() - {"plateau"}:
        schedule = Schedule(ScheduleConfig(name=name, plateau_patience=0), 0.1, budget_of(10, 5))
        before = schedule.lr(5)
        for loss in (1.0, 2.0, 3.0):
            schedule.update_plateau(loss)
        assert schedule.lr(5) == before
