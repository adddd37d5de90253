from typing import Any

import pytest
import timm
import torch
from timm.layers import DropPath
from torch import nn

from revit.models.dropout import active_dropout


def built(name: str, **rates: float) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=5, **rates)


def dropouts(model: nn.Module, resolution: int) -> dict[str, tuple[float, int]]:
    return {each["module"]: (each["p"], each["calls"]) for each in active_dropout(model, resolution)}


def test_every_dropout_of_a_vit_is_found_attention_included() -> None:
    """`test_vit` of timm has six layers; its attention drops inside of PyTorch's own function."""
    rates = {"pos_drop_rate": 0.1, "attn_drop_rate": 0.2, "proj_drop_rate": 0.3, "drop_rate": 0.4}
    assert dropouts(built("test_vit", **rates), 32) == {
        "pos_drop": (0.1, 1),
        "blocks.*.attn": (0.2, 6),
        "blocks.*.attn.proj_drop": (0.3, 6),
        "blocks.*.mlp.drop1": (0.3, 6),
        "blocks.*.mlp.drop2": (0.3, 6),
        "head_drop": (0.4, 1),
    }


@pytest.mark.parametrize("name", ["test_vit", "resnet18", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_stochastic_depth_is_found_with_the_rates_of_timms_layers(name: str) -> None:
    model = built(name, drop_path_rate=0.2)
    found = [each["p"] for each in active_dropout(model, 224) for _ in range(each["calls"])]
    expected = [layer.drop_prob for layer in model.modules() if isinstance(layer, DropPath) and layer.drop_prob]
    assert sorted(found) == pytest.approx(sorted(expected), abs=1e-6)
    assert max(found) == pytest.approx(0.2)


def test_an_unused_dropout_layer_is_not_active() -> None:
    """timm's ViT without a position embedding returns before the dropout after it."""
    model = built("test_vit", pos_embed="none", pos_drop_rate=0.1, drop_rate=0.2)
    assert dropouts(model, 32) == {"head_drop": (0.2, 1)}


def test_functional_dropout_is_found() -> None:
    assert dropouts(built("test_vit"), 32) == {}
    assert dropouts(built("resnet18", drop_rate=0.2), 32) == {"": (0.2, 1)}


@pytest.mark.parametrize("name", ["resnet18", "test_vit", "pit_xs_224"])
@pytest.mark.parametrize("training", [True, False])
def test_model_and_random_state_do_not_change(name: str, training: bool) -> None:
    """Batch statistics included."""
    model = built(name, drop_rate=0.2).train(training)
    before: dict[str, Any] = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    active_dropout(model, 224 if name == "pit_xs_224" else 32)
    assert model.training is training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
