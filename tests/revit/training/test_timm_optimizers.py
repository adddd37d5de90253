"""timm's optimizers: which trials can use, and that they train as timm builds them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers
from torch import nn

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig
from revit.errors import InputError
from revit.models.build import build_model
from revit.training.optimizer_specs import OPTIMIZERS
from revit.training.optimizers import build_optimizer
from revit.training.timm_optimizers import refusal, timm_spec, usable_names

REFUSED = {
    "is an optimizer of bitsandbytes, which trials do not use": [
        "bnbadam", "bnbadam8bit", "bnbadamw", "bnbadamw8bit", "bnbademamix", "bnbademamix8bit", "bnblion",
        "bnblion8bit", "bnbsgd", "bnbsgd8bit",
    ],
    "is an optimizer of apex, which trials do not use": [
        "fusedadam", "fusedadamw", "fusedlamb", "fusednovograd", "fusedsgd",
    ],
    "needs second derivatives, which trials do not compute": ["adahessian"],
    "compiles an update for each shape of a tensor, for minutes before its first step": ["kron", "kronc", "kronw"],
}  # fmt: skip
FEW = ["muon", "lion", "adan", "lamb", "adafactorbv", "nesterov"]
ALL = [*FEW, *(pytest.param(name, marks=pytest.mark.long) for name in usable_names() if name not in FEW)]


def test_an_unknown_name_is_refused_with_close_matches() -> None:
    for name, close in {"muonn": "muon, nmuon, adamuon", "Lion": "lion, ", "lookahead_sgd": "sgd, "}.items():
        with pytest.raises(InputError) as error:
            timm_spec(name)
        assert str(error.value).startswith(f"optimizer.name = {name!r}: no such optimizer; closest: {close}")


def test_every_optimizer_of_timm_is_usable_or_refused_with_the_reason() -> None:
    reasons: dict[str, list[str]] = {}
    for name in list_optimizers():
        reasons.setdefault(refusal(get_optimizer_info(name)), []).append(name)
    assert {*reasons.pop("")} == {*OPTIMIZERS, *usable_names()}
    assert reasons == REFUSED
    for reason, names in REFUSED.items():
        with pytest.raises(InputError, match=f"optimizer.name = '{names[0]}': {reason}; closest: "):
            timm_spec(names[0])


@pytest.mark.parametrize("name", ALL)
def test_weights_are_those_of_the_optimizer_that_timm_builds(name: str) -> None:
    values = {"lr": 0.02, "weight_decay": 0.3, "momentum": 0.7}
    models = [
        build_model(
            FineTuneConfig(dataset="digits", steps=1, resolution=8, model=ModelConfig(pretrained=False)), 10, None
        )
        for _ in range(2)
    ]
    patterns = ["head.*", "patch_embed.*"] if "muon" in name else []
    optimizers = [
        build_optimizer(models[0], OptimizerConfig(name=name, **values)),
        create_optimizer_v2(models[1], name, **values, fallback_list=patterns, fallback_no_weight_decay=bool(patterns)),
    ]
    images, labels = torch.randn(8, 3, 8, 8), torch.arange(8)
    before = [each.clone() for each in models[0].parameters()]
    for model, optimizer in zip(models, optimizers, strict=True):
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    for (path, ours), timms, start in zip(models[0].named_parameters(), models[1].parameters(), before, strict=True):
        assert torch.equal(ours, timms), path
        assert not torch.equal(ours, start), path


@pytest.mark.parametrize("name", ALL)
def test_a_trial_learns_resumes_to_the_bit(
    name: str, small: FineTuneConfig, train: Callable, make_listener: Callable, tmp_path: Path
) -> None:
    config = small.with_values(
        {"optimizer.name": name, "optimizer.lr": 0.01, "optimizer.weight_decay": 0.1, "optimizer.layer_decay": 0.8,
         "model.dropout": 0.1, "steps": 4, "num_evals": 4, "data_fraction": 0.1, "test": False}
    )  # fmt: skip
    path = tmp_path / "checkpoint.pt"
    whole, seen = train(config, make_listener(save_at=2, path=path))
    losses = [value for _, value in seen.curve("train_loss")]
    assert len(set(losses)) >= 3, "Adopt's first step changes nothing"
    assert all(loss < 10 for loss in losses)
    rest, _ = train(config, resume=path)
    for path_of, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, rest.model.state_dict()[path_of]), path_of
