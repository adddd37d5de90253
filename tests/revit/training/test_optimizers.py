import math
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytest
import torch

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig, ScheduleConfig
from revit.models.build import build_model
from revit.training.optimizers import OPTIMIZERS, SCHEDULES, Schedule, build_optimizer


def untrained() -> Any:
    config = FineTuneConfig(dataset="digits", steps=1, resolution=8, model=ModelConfig(pretrained=False))
    return build_model(config, 10, None)


CLOSED_FORMS: dict[str, Callable[[float], float]] = {
    "cosine": lambda t: (1 + math.cos(math.pi * t)) / 2,
    "linear": lambda t: 1 - t,
    "exponential": lambda t: math.exp(t * math.log(0.25)),
    "multistep": lambda t: 1,  # has its own test: its milestones count from the very first step
    "plateau": lambda t: 1,
    "constant": lambda t: 1,
}


def test_the_tables_and_the_config_name_the_same_choices() -> None:
    for table, owner in ((OPTIMIZERS, OptimizerConfig), (SCHEDULES, ScheduleConfig)):
        assert set(table) == set(get_args(get_type_hints(owner)["name"]))
    assert CLOSED_FORMS.keys() == SCHEDULES.keys()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 7])
@pytest.mark.parametrize("peak", [0.1, 3e-5])
def test_every_schedule_is_its_closed_form_at_every_step(name: str, warmup: int, peak: float) -> None:
    config = ScheduleConfig(name=name, warmup_steps=warmup, end_factor=0.25, milestones=())
    schedule = Schedule(config, peak, 50, 10)
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
def test_schedules_agree_with_torchs_stepped_once_a_step(name: str, make: Callable[..., object]) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    oracle = make(optimizer, 40)
    schedule = Schedule(ScheduleConfig(name=name), 0.1, 40, 10)
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
def test_schedules_updated_by_the_epoch_agree_with_torchs_stepped_once_an_epoch(
    name: str, make: Callable[..., object]
) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    oracle = make(optimizer, 10)
    schedule = Schedule(ScheduleConfig(name=name, update="epoch", end_factor=0.9**10), 1e-3, 10 * 7, 7)
    for step in range(10 * 7):
        assert schedule.lr(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        if step % 7 == 6:
            oracle.step()


@pytest.mark.parametrize("t_max", [7, 9])
@pytest.mark.parametrize("num_processes", [1, 2, 4, 8])
def test_a_cosine_of_another_t_max_agrees_with_torchs_stepped_by_every_process(t_max: int, num_processes: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.01)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=t_max)
    schedule = Schedule(ScheduleConfig(t_max=t_max / num_processes), 0.01, 200, 50)
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
    config = ScheduleConfig(
        name="multistep", warmup_steps=warmup, milestones=tuple(each / num_steps for each in milestones)
    )
    schedule = Schedule(config, 0.003, num_steps, 10)
    for step in range(warmup, num_steps):
        rate = 0.003
        for milestone in milestones:
            if milestone < step:
                rate /= 10
        assert schedule.lr(step) == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize(("factor", "patience"), [(0.5, 1), (0.1, 0), (0.5, 3)])
def test_plateau_agrees_with_torchs(factor: float, patience: int) -> None:
    losses = [3, 2, 2, 2, 2, 1.5, 1.6, 1.7, 1.4, 1.39999, 1.39995, 1.3999, 1.3998, 1.3, 1.29999, 1.29998]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience, eps=0)
    config = ScheduleConfig(name="plateau", plateau_factor=factor, plateau_patience=patience)
    schedule = Schedule(config, 0.1, 100, 10)
    for loss in losses:
        schedule.observe(loss)
        oracle.step(loss)
        assert schedule.lr(50) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)


def test_only_plateau_looks_at_validation() -> None:
    for name in SCHEDULES.keys() - {"plateau"}:
        schedule = Schedule(ScheduleConfig(name=name, plateau_patience=0), 0.1, 10, 5)
        before = schedule.lr(5)
        for loss in (1.0, 2.0, 3.0):
            schedule.observe(loss)
        assert schedule.lr(5) == before


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizers_are_torchs_with_the_configs_values(name: str, kind: str) -> None:
    config = OptimizerConfig(name=name, lr=0.07, momentum=0.8, weight_decay=0.3)
    optimizer = build_optimizer(untrained(), config)
    assert type(optimizer).__name__ == kind
    assert {group["lr"] for group in optimizer.param_groups} == {0.07}
    if name == "sgd":
        assert {group["momentum"] for group in optimizer.param_groups} == {0.8}


def test_weight_decay_reaches_matrices_only() -> None:
    model = untrained()
    optimizer = build_optimizer(model, OptimizerConfig(weight_decay=0.3))
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        exempt = parameter.ndim < 2 or name in ("pos_embed", "cls_token")
        assert decay_of[id(parameter)] == (0 if exempt else 0.3), name


def test_frozen_parameters_are_not_optimized() -> None:
    model = untrained()
    model.pos_embed.requires_grad_(False)
    optimizer = build_optimizer(model, OptimizerConfig())
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert id(model.pos_embed) not in held
    assert len(held) == len(list(model.parameters())) - 1
