"""Augmentation of a batch by a function of the user."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from revit.config import FineTuneConfig
from revit.datasets.augmented_images import augment, check_augmentation
from revit.errors import InputError
from revit.random_streams import Stream, make_rng


def config_of(augmentation: str) -> FineTuneConfig:
    return FineTuneConfig(dataset="digits", resolution=16, steps=1, augmentation=augmentation)


MODULE = """
import torch

def darken(images, rng):
    return (images * rng.random()).to(torch.uint8)

def forgets_the_type(images, rng):
    return images * rng.random()

def crops(images, rng):
    return images[..., 1:]

def draws_elsewhere(images, rng):
    return (images * torch.rand(())).to(torch.uint8)

def fails(images, rng):
    raise ValueError("no such thing")
"""


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "my_augmentations.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "my_augmentations"
    sys.modules.pop("my_augmentations")


def test_a_function_of_the_user_draws_from_the_generator_of_seed_and_step(users_module: str) -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    config = config_of(f"{users_module}:darken")
    check_augmentation(config)
    share = make_rng(0, Stream.AUGMENTATION, 2).random()
    assert torch.equal(augment(config, images, 2), (images * share).to(torch.uint8))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("forgets_the_type", "must return uint8 images of shape (2, 3, 16, 16)"),
     ("crops", "must return uint8 images of shape (2, 3, 16, 16)"),
     ("draws_elsewhere", "must draw all of its random numbers from the generator that it is given"),
     ("fails", "fails: no such thing")],
)  # fmt: skip
def test_a_wrong_function_is_refused_in_one_line(users_module: str, name: str, reason: str) -> None:
    with pytest.raises(InputError) as raised:
        check_augmentation(config_of(f"{users_module}:{name}"))
    assert str(raised.value).startswith(f"augmentation = '{users_module}:{name}': {reason}")
