"""Loss of a batch, against torch's and timm's."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from timm.data.mixup import mixup_target
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy
from torch.nn import functional as F

from revit.config import FineTuneConfig
from revit.datasets.mixing import Mix
from revit.errors import InputError
from revit.training.batch_loss import check_loss, image_losses, summed_loss
from revit.training.losses import LOSSES

LOGITS = torch.randn(32, 7, generator=torch.Generator().manual_seed(0)) * 4
LABELS = torch.arange(32) % 7


def config_of(loss: str, smoothing: float = 0.0) -> FineTuneConfig:
    return FineTuneConfig(dataset="digits", steps=1, loss=loss, label_smoothing=smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_losses_are_torchs_and_timms(smoothing: float) -> None:
    ours = {name: image_losses(config_of(name, smoothing), LOGITS, LABELS) for name in LOSSES}
    torch.testing.assert_close(
        ours["cross_entropy"], F.cross_entropy(LOGITS, LABELS, reduction="none", label_smoothing=smoothing)
    )
    torch.testing.assert_close(ours["cross_entropy"].mean(), LabelSmoothingCrossEntropy(smoothing)(LOGITS, LABELS))
    torch.testing.assert_close(ours["binary_cross_entropy"].mean(), BinaryCrossEntropy(smoothing)(LOGITS, LABELS))


def test_without_smoothing_the_gradient_has_the_bits_of_torchs_for_class_indices() -> None:
    own, theirs = (LOGITS.clone().requires_grad_() for _ in range(2))
    (image_losses(config_of("cross_entropy"), own, LABELS).sum() / 32).backward()
    (F.cross_entropy(theirs, LABELS, reduction="sum") / 32).backward()
    assert own.grad is not None and theirs.grad is not None
    assert torch.equal(own.grad, theirs.grad)


@pytest.mark.parametrize("name", LOSSES)
def test_of_mixed_images_it_is_the_loss_of_mixed_targets_by_timm(name: str) -> None:
    """Both losses are linear in their targets; a function of the user need not be."""
    config, mix = config_of(name, 0.1), Mix(torch.arange(31, -1, -1), 0.3)
    parts = [slice(0, 20), slice(20, 40)]
    total = sum(summed_loss(config, LOGITS[part], LABELS, part, mix) for part in parts)
    targets = mixup_target(LABELS, 7, mix.lam, smoothing=0.1)
    torch.testing.assert_close(total / 32, LOSSES[name](LOGITS, targets).mean())


MODULE = """
import torch

def focal(logits, targets):
    log_probabilities = logits.log_softmax(1)
    return -(targets * (1 - log_probabilities.exp()) ** 2 * log_probabilities).sum(1)

def mean(logits, targets):
    return focal(logits, targets).mean()

def weighted(logits, targets):
    return focal(logits, targets * torch.arange(10.0))

def without_gradient(logits, targets):
    return focal(logits.detach(), targets)

def fails(logits, targets):
    raise ValueError("no such thing")
"""


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "my_losses.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "my_losses"
    sys.modules.pop("my_losses")


def test_a_function_is_called_with_the_classes_of_the_dataset(users_module: str) -> None:
    config = config_of(f"{users_module}:weighted")
    check_loss(config)
    with pytest.raises(InputError, match="fails: The size of tensor"):
        check_loss(config.with_values({"dataset": "cifar100"}))
    check_loss(config.with_values({"dataset": "folder:/of/unknown/classes"}))
    with pytest.raises(InputError, match="cannot be imported"):
        check_loss(config.with_values({"dataset": "folder:/of/unknown/classes", "loss": f"{users_module}:missing"}))


def test_a_function_of_the_user_gets_logits_with_smoothed_targets(users_module: str) -> None:
    config = config_of(f"{users_module}:focal", 0.1)
    check_loss(config)
    log_probabilities = LOGITS.log_softmax(1)
    targets = F.one_hot(LABELS, 7) * 0.9 + 0.1 / 7
    expected = -(targets * (1 - log_probabilities.exp()) ** 2 * log_probabilities).sum(1)
    torch.testing.assert_close(image_losses(config, LOGITS, LABELS), expected)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("mean", "must return one loss per image, of shape (2,)"), ("without_gradient", "fails: element 0 of tensors"),
     ("fails", "fails: no such thing")],
)  # fmt: skip
def test_a_wrong_function_is_refused_in_one_line(users_module: str, name: str, reason: str) -> None:
    with pytest.raises(InputError) as raised:
        check_loss(config_of(f"{users_module}:{name}"))
    assert str(raised.value).startswith(f"loss = '{users_module}:{name}': {reason}")
    assert "\n" not in str(raised.value)
