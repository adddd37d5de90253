"""Augmentations of cropped images, against torchvision's transforms given the same random numbers."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import _auto_augment

from revit.config import MAX_MAGNITUDE, FineTuneConfig
from revit.datasets.augmentations import AUGMENTATIONS
from revit.datasets.augmented_images import augment
from revit.errors import InputError
from revit.random_streams import Stream, make_rng

POLICIES: dict[str, list[dict[str, Any]]] = {
    "randaugment": [
        {}, {"randaugment_num_ops": 1, "randaugment_magnitude": 0},
        {"randaugment_num_ops": 3, "randaugment_magnitude": MAX_MAGNITUDE},
    ],
    "trivialaugment": [{}],
}  # fmt: skip


def config_of(augmentation: str, **values: object) -> FineTuneConfig:
    base = FineTuneConfig(dataset="digits", resolution=16, steps=1)
    return base.with_values({"augmentation": augmentation, **values})


def images_of(channels: int, count: int = 64, side: int = 16) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, channels, side, side), dtype=np.uint8))


def test_a_config_accepts_the_tables_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a new entry needs no change of the config."""
    assert AUGMENTATIONS.keys() == {"none", *POLICIES}
    with pytest.raises(InputError, match=r"augmentation = 'new': must be one of none, .* or a function"):
        config_of("new")
    monkeypatch.setitem(AUGMENTATIONS, "new", lambda images, rng, config: 255 - images)
    images = images_of(3)
    assert torch.equal(augment(config_of("new"), images, 0), 255 - images)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "values"), [(name, values) for name, cases in POLICIES.items() for values in cases], ids=str
)
def test_every_image_is_torchvisions_given_the_same_numbers(
    name: str, values: dict[str, int], channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision draws with `torch.randint` and `torch.rand`; here these give what our generator does."""
    config, images = config_of(name, **values), images_of(channels)
    ours = augment(config, images, 5)
    rng = make_rng(config.seed, Stream.AUGMENTATION, 5)
    drawing = SimpleNamespace(randint=lambda high, size: rng.integers(high), rand=lambda size: rng.random())
    others = {each: getattr(torch, each) for each in ("linspace", "arange", "Tensor")}
    monkeypatch.setattr(_auto_augment, "torch", SimpleNamespace(**vars(drawing), **others))
    transform = (
        v2.TrivialAugmentWide()
        if name == "trivialaugment"
        else v2.RandAugment(config.randaugment_num_ops, config.randaugment_magnitude)
    )
    theirs = torch.stack([transform(image) for image in images])
    assert torch.equal(ours, theirs)
    assert (ours != images).flatten(1).any(dim=1).sum() > 5


@pytest.mark.parametrize("name", POLICIES)
def test_every_operation_is_drawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[str, bool]] = set()
    apply = v2.RandAugment._apply_image_or_video_transform

    def record(self: Any, image: torch.Tensor, operation: str, strength: float, **rest: Any) -> torch.Tensor:
        seen.add((operation, strength < 0))
        return apply(self, image, operation, strength, **rest)

    for policy in (v2.RandAugment, v2.TrivialAugmentWide):
        monkeypatch.setattr(policy, "_apply_image_or_video_transform", record)
    augment(config_of(name), images_of(3, 1000, 4), 0)
    space = v2.RandAugment._AUGMENTATION_SPACE
    signed = {operation for operation, (_, is_signed) in space.items() if is_signed}
    assert {operation for operation, _ in seen} == space.keys()
    assert {operation for operation, is_negative in seen if is_negative} == signed


@pytest.mark.parametrize("name", POLICIES)
def test_seed_and_step_decide_in_every_thread_without_torchs_generator(name: str) -> None:
    images, config = images_of(3), config_of(name)
    before = torch.get_rng_state()
    straight = [augment(config, images, step) for step in range(6)]
    with ThreadPoolExecutor(3) as threads:
        parallel = list(threads.map(lambda step: augment(config, images, step), range(6)))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, other) for one, other in zip(straight, parallel, strict=True))
    assert not torch.equal(straight[0], straight[1])
    assert not torch.equal(straight[0], augment(config.with_values({"seed": 1}), images, 0))


def test_none_leaves_images_as_they_are() -> None:
    images = images_of(3)
    assert augment(config_of("none"), images, 0) is images
