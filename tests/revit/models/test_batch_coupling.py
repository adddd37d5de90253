from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.models.batch_coupling import check_is_splittable
from revit.models.build import build_model

CONFIG = FineTuneConfig(dataset="digits", resolution=8, steps=1)


class Own(nn.Module):
    """A model of the user, with a function of its features (B, 6, 4)."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(8, 4), function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self.layer(images[:, 0, :6])).mean(1)


DROPS = {"model.dropout": 0.1, "model.attn_dropout": 0.1, "model.head_dropout": 0.1, "model.drop_path": 0.1}


@pytest.mark.parametrize(
    ("name", "resolution", "values"),
    [
        ("vit_nano", 8, DROPS),
        ("vit_nano", 8, {"model.adapter": "lora"}),
        ("bit_nano", 28, {"model.drop_path": 0.1, "model.head_dropout": 0.1}),
        ("swin_tiny_patch4_window7_224", 224, {"model.drop_path": 0.1}),
        ("mixer_s32_224", 224, {"model.head_dropout": 0.1}),
    ],
)
def test_models_without_batch_normalization_are_splittable(
    name: str, resolution: int, values: dict[str, object]
) -> None:
    config = CONFIG.with_values({"resolution": resolution, "model.name": name, "model.pretrained": False, **values})
    model = build_model(config, 10, None)
    torch.manual_seed(0)
    check_is_splittable(model, config)
    assert model.training
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("freeze", [False, True])
def test_batch_normalization_is_refused_unless_it_is_frozen(freeze: bool) -> None:
    values = {"resolution": 32, "model.name": "test_resnet", "model.pretrained": False}
    config = CONFIG.with_values({**values, "model.trained": "head" if freeze else "all"})
    model = build_model(config, 10, None)
    if freeze:
        check_is_splittable(model, config)
        return
    with pytest.raises(InputError, match=r"model.name = 'test_resnet': has batch normalization; a trial of it must"):
        check_is_splittable(model, config)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda values: values + torch.randn_like(values), "draws random numbers by aten.randn_like"),
        (lambda values: F.dropout1d(values, 0.5), "draws random numbers by aten.bernoulli_"),
        (lambda values: torch.dropout(values, 0.5, True), "draws random numbers by aten."),
        (lambda values: F.dropout(values.transpose(0, 1), 0.5).transpose(0, 1), "drops across a dimension"),
        (lambda values: F.dropout(values.sum(0), 0.5).expand_as(values), "drops across a dimension"),
    ],
)
def test_random_numbers_that_workers_cannot_share_are_refused(
    function: Callable[[Tensor], Tensor], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        check_is_splittable(Own(function), CONFIG)
    check_is_splittable(Own(lambda values: F.dropout(values, 0.5)), CONFIG)
