"""Training steps make a CPU wait for a GPU nowhere, counted without one."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import pytest
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F

from revit.config import FineTuneConfig
from revit.datasets import batches as loader
from revit.datasets.batches import Batch, eval_batches, train_batch, train_batches
from revit.datasets.image_store import ImageStore
from revit.models.build import empty_model
from revit.models.normalization import normalization_of
from revit.training import evaluation
from revit.training import fine_tune as module
from revit.training.fine_tune import TrialData, fine_tune, train_step
from revit.training.meter import Meter
from revit.training.optimizer_specs import OPTIMIZERS
from revit.training.optimizers import build_optimizer
from revit.training.timm_optimizers import synchronization, usable_names
from revit.training.train_state import Row, TrainState, _move_scalars_to_host
from tests.revit.training.golden_traces import BASE, CASES
from tests.revit.training.sync_counter import GPU, counted_syncs, kernels_of_a_gpu

OF_THE_STEP = (
    "model.",
    "optimizer.max",
    "optimizer.layer",
    "mix",
    "cut",
    "aug",
    "random_erasing",
    "loss",
    "label",
    "ema",
)
STEPS = {name: values for name, values in CASES.items() if any(field.startswith(OF_THE_STEP) for field in values)}
STEPS |= {f"{name} in micro-batches": {**CASES[name], "micro_batch": 3} for name in ("mixup", "cutmix", "lora", "bit")}
COPIED = "aten._to_copy.default"


@pytest.fixture(autouse=True)
def own_constants() -> Iterator[None]:
    """Clear the cached constants of a device before and after: those without content are for one test only."""
    loader._scale_and_shift.cache_clear()
    yield
    loader._scale_and_shift.cache_clear()


WAITING: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x[0].item(),
    "float": lambda x: float(x.sum()),
    "condition": lambda x: 1 if x.sum() > 0 else 2,
    "max with a number": lambda x: max(x.sum(), 1.0),  # type: ignore[type-var]
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "list": lambda x: x.tolist(),
    "equal": lambda x: torch.allclose(x, x),
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 0),
    "unique": lambda x: x.unique(),
    "masked_select": lambda x: x.masked_select(x > 0),
    "mask as an index": lambda x: x[x > 0],
    "assignment to a mask": lambda x: x.__setitem__(x > 0, 0.0),
    "index from the host": lambda x: x[torch.tensor([0, 1])],
    "list as an index": lambda x: x[[0, 1]],
    "lengths that are data": lambda x: x.repeat_interleave(x.long()),
    "classes that are data": lambda x: F.one_hot(x.long()),
    "inverse": lambda x: torch.linalg.inv(torch.outer(x, x)),
    "constant": lambda x: torch.tensor(1.0, device=x.device),
    "constant beside": lambda x: x.new_tensor([1.0]),
    "copy from the host": lambda x: torch.ones(3).to(x.device),
    "copy from memory that is not pinned": lambda x: torch.ones(3).to(x.device, non_blocking=True),
    "copy that waits": lambda x: torch.ones(3).pin_memory().to(x.device),
    "copy into": lambda x: x.copy_(torch.ones(3)),
}
GOING_ON: dict[str, Callable[[Tensor], object]] = {
    "arithmetic with numbers": lambda x: (x * 2 + 1).clamp(min=0.5),
    "a scalar of the host": lambda x: x * torch.tensor(2.0),
    "a number of the host": lambda x: x * torch.tensor(2.0).item(),
    "filled": lambda x: torch.full((2,), 1.0, device=x.device) + torch.zeros((), device=x.device),
    "index on the device": lambda x: x[torch.arange(2, device=x.device)],
    "masked_fill": lambda x: x.masked_fill(x > 0, 0.0),
    "where of three": lambda x: torch.where(x > 0, x, 0.0),
    "slice": lambda x: x[1:2],
    "copy from pinned memory": lambda x: torch.ones(3).pin_memory().to(x.device, non_blocking=True),
}


@pytest.mark.parametrize("name", WAITING)
def test_the_counter_sees_what_waits(name: str) -> None:
    x = torch.empty(3, device=GPU)
    with counted_syncs() as syncs, suppress(RuntimeError, NotImplementedError):  # no shape without content
        WAITING[name](x)
    assert len(syncs.found) == 1


@pytest.mark.parametrize("name", GOING_ON)
def test_the_counter_passes_what_does_not_wait(name: str) -> None:
    x = torch.empty(3, device=GPU)
    with counted_syncs() as syncs:
        GOING_ON[name](x)
    assert syncs.found == []


def test_no_step_of_any_config_waits(digits: ImageStore) -> None:
    """With each model, adapter, augmentation, mixing, erasing, loss, average and clipping of the golden traces."""
    assert {name: found for name in STEPS if (found := syncs_of_a_step(BASE.with_values(STEPS[name]), digits))} == {}


def syncs_of_a_step(config: FineTuneConfig, store: ImageStore) -> list[str]:
    train = store.split(config.val_fraction, config.data_fraction, config.subset_seed).train
    batch = train_batch(config, store, train, 0)
    model = empty_model(config, 10)
    with patch.object(torch, "Generator"):  # meta tensors have none, and float32 weights need none
        average = ModelEmaV3(model, config.ema_decay) if config.ema_decay else None
    loader._scale_and_shift(normalization_of(config), GPU)  # once in a process
    with kernels_of_a_gpu():
        optimizer = fused(build_optimizer(model, config.optimizer))
        with counted_syncs() as syncs:
            train_step(model, optimizer, batch.pinned(), 0.1, config, GPU)
            if average is not None:
                average.update(model)
    return syncs.found


def fused(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return an optimizer of meta tensors as it is built on a GPU."""
    for group in optimizer.param_groups:
        if "fused" in group:
            group["fused"] = True
    return optimizer


def test_images_that_are_not_pinned_are_noticed(digits: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batch, "pinned", lambda batch: batch)
    assert syncs_of_a_step(BASE, digits) == [COPIED, COPIED]  # images and labels


class FewTensors(nn.Sequential):
    """A filter, matrices and vectors: what optimizers treat differently."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 2, 8, bias=False), nn.Flatten(), nn.Linear(2, 4), nn.Linear(4, 10))

    def get_classifier(self) -> nn.Module:
        return self[-1]


def test_the_optimizers_that_wait_are_those_that_are_listed() -> None:
    """In their first steps, some of which warm up, and after a checkpoint is loaded."""
    names = [*OPTIMIZERS, *usable_names()]
    waiting = {name for name in names if syncs_of_an_optimizer(name)}
    assert waiting == {name for name in usable_names() if synchronization(name)}


def syncs_of_an_optimizer(name: str) -> list[str]:
    config = BASE.with_values({"optimizer.name": name, "optimizer.weight_decay": 0.1})
    model = FewTensors().to(GPU)
    batch = Batch(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    loader._scale_and_shift(normalization_of(config), GPU)
    with kernels_of_a_gpu():
        optimizer = fused(build_optimizer(model, config.optimizer))
        with counted_syncs() as syncs:
            train_step(model, optimizer, batch.pinned(), 0.1, config, GPU)
            for _ in range(6):
                optimizer.step()
        with counted_syncs():
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            _move_scalars_to_host(optimizer)
        with counted_syncs() as after:
            optimizer.step()
    return syncs.found + after.found


def test_a_row_waits_once() -> None:
    meter = Meter()
    for _ in range(3):
        meter.add(torch.ones((), device=GPU), torch.ones((), device=GPU), 0.1, 8)
    with counted_syncs() as syncs:
        meter.close_row(3)
    assert syncs.found == [COPIED]


def test_a_trial_waits_once_for_each_row(
    small: FineTuneConfig, digits: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And for what is copied once: mean and standard deviation of pixels, position embeddings, each tested batch."""

    def pinned(make: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, pin, **options: make(*args, pin=True, **options)

    monkeypatch.setattr(module, "train_batches", pinned(train_batches))
    monkeypatch.setattr(module, "eval_batches", pinned(eval_batches))
    monkeypatch.setattr(evaluation, "compute_logits", lambda model, images, _: model(images))  # autocast knows no meta
    config = small.with_values({"val_fraction": 0.0, "mixup": 0.2, "random_erasing": 0.3, "model.pretrained": False})
    rows: list[Row] = []

    def report(new: list[Row], _: TrainState) -> None:
        rows.extend(new)

    data = TrialData.from_store(config, digits, None)
    with counted_syncs() as syncs:
        fine_tune(config, data, report, device=GPU, on_built=lambda built: syncs.found.clear())
    assert len(rows) == small.steps
    num_tested = math.ceil(len(data.splits.test) / config.batch_size)
    assert syncs.found == ["tensor of Python values"] * 2 + [COPIED] * (len(rows) + 2 + num_tested)


def test_the_page_lists_the_optimizers_that_wait(request: pytest.FixtureRequest) -> None:
    page = (request.config.rootpath / "docs" / "optimizers.md").read_text()
    reasons: dict[str, list[str]] = {}
    for name in sorted(usable_names()):
        reasons.setdefault(synchronization(name), []).append(f"`{name}`")
    del reasons[""]
    for reason, names in reasons.items():
        assert f"| {', '.join(names)} | {reason} |" in page
