"""Inspection of a trained model, by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.models.build import build_model
from revit.models.introspection import inspect_model
from revit.models.weights import find_weights
from revit.training.inspection import inspect_trained

CONFIG = FineTuneConfig(dataset="digits", resolution=28, steps=1)


@pytest.fixture
def vit() -> nn.Module:
    return build_model(CONFIG, 10, find_weights(CONFIG.model))


def test_attention_is_on_the_first_test_image(vit: nn.Module, digits: ImageStore) -> None:
    found = inspect_trained(vit, CONFIG, digits)
    assert found is not None
    image = torch.from_numpy(digits.image(int(np.flatnonzero(digits.is_test)[0])))
    pixels = nn.functional.interpolate(image.permute(2, 0, 1)[None].float(), 28, mode="bilinear", antialias=True)
    by_hand = inspect_model(vit, (pixels.round().clamp(0, 255) / 127.5 - 1).expand(1, 3, 28, 28))
    np.testing.assert_allclose(found.attention, by_hand.attention, atol=0.02)


def test_a_model_that_is_no_vision_transformer_has_no_figures(digits: ImageStore) -> None:
    assert inspect_trained(nn.Linear(2, 2), CONFIG, digits) is None


def test_an_error_of_a_model_does_not_lose_its_trial(vit: nn.Module, digits: ImageStore) -> None:
    vit.blocks[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="the figures of the model are left out: ZeroDivisionError"):
        assert inspect_trained(vit, CONFIG, digits) is None
