"""Trained models whose weights are random, as tests of their formats need them."""

from types import SimpleNamespace
from typing import Any, cast

import torch

from revit.config import FineTuneConfig
from revit.models.build import build_tested_model
from revit.models.normalization import normalization_of
from study.trained_model import TrainedModel
from study.trial import Trial

CLASS_NAMES = ("cat", "dog, wet", 'a "bird"')


def untrained_model(resolution: int = 8, **values: Any) -> TrainedModel:
    """Return a model with different answers for different images: no weight of it is zero."""
    config = FineTuneConfig(dataset="digits", resolution=resolution, steps=1).with_values(
        {"model.pretrained": False, **values}
    )
    network = build_tested_model(config, len(CLASS_NAMES)).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter += torch.empty_like(parameter).normal_(std=0.02, generator=generator)
    trial = SimpleNamespace(candidate=SimpleNamespace(config=config), identity="1234")
    return TrainedModel(
        network=network, class_names=CLASS_NAMES, normalization=normalization_of(config), trial=cast(Trial, trial)
    )


def random_pixels(model: TrainedModel, num_images: int) -> torch.Tensor:
    """Return images (B, 3, R, R) uint8."""
    shape = (num_images, 3, model.resolution, model.resolution)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(num_images))
