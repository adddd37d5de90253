"""Words for axes of a study in tables or figures: titles of axes, names of their values."""

from collections.abc import Mapping, Sequence
from functools import cache

from study.labels import format_value
from study.report.setting_words import WORDS

NAMES = {
    "sgd": "SGD",
    "adam": "Adam",
    "adamw": "AdamW",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "fashion_mnist": "Fashion-MNIST",
    "flowers102": "Flowers-102",
    "flowers102_trainval": "Flowers-102",
    "flowers102_nelorth": "Flowers-102 (nelorth's split)",
    "cars": "Stanford Cars",
    "inat18": "iNaturalist 2018",
    "inat19": "iNaturalist 2019",
    "brain_tumor_mri": "brain tumor MRI",
    "plant_health": "plant health",
    "vit_b16_in21k": "ViT-B/16",
    "bit_r50x1_in21k": "BiT ResNet-50x1",
    "deit3_small_patch16_224.fb_in1k": "DeiT III ViT-S/16",
    "deit3_base_patch16_224.fb_in1k": "DeiT III ViT-B/16",
    "deit3_large_patch16_224.fb_in1k": "DeiT III ViT-L/16",
    "vit_nano": "nano ViT",
    "vit_nano_small": "nano ViT-S",
    "vit_nano_medium": "nano ViT-B",
    "vit_nano_large": "nano ViT-L",
    "bit_nano": "nano ResNetV2",
}
"""Optimizers, datasets and models whose names people write differently from config fields."""


def axis_titles(axes: Sequence[str]) -> dict[str, str]:
    """Return the words for each axis: `learning rate` for `optimizer.lr`; its path where two have the same words."""
    return {**_titles(tuple(axes))}


@cache
def _titles(axes: tuple[str, ...]) -> Mapping[str, str]:
    """Return `axis_titles`, made once: every trial has a name in figures."""
    titles = [axis_title(axis) for axis in axes]
    return {axis: title if titles.count(title) == 1 else axis for axis, title in zip(axes, titles, strict=True)}


def axis_title(axis: str) -> str:
    """Return the words for an axis, which another one may have, too."""
    if axis in WORDS and not axis.endswith(".name"):
        return WORDS[axis].title
    return axis.removesuffix(".name").replace("_", " ")


def cell_title(cell: Mapping[str, object]) -> str:
    """Return the words for a value on each of some axes: `SGD, schedule cosine`."""
    titles = axis_titles(list(cell))
    return ", ".join(NAMES.get(str(value)) or f"{titles[axis]} {format_value(value)}" for axis, value in cell.items())


def value_title(value: object) -> str:
    """Return the words for a value: `SGD` for `sgd`, `0.1` for a number."""
    return NAMES.get(str(value)) or format_value(value)


def value_of_axis(axis: str, value: object) -> str:
    """Return the words for a value in a sentence: `10 %` for a fraction of the data."""
    return f"{100 * value:g} %" if axis == "data_fraction" and isinstance(value, float) else value_title(value)


def name_of_value(axis: str, value: object) -> str | None:
    """Return words for a value that need none for its axis: `10 % of the training images`, `SGD`; None without."""
    if axis == "data_fraction":
        return f"{value_of_axis(axis, value)} of the training images"
    return NAMES.get(str(value))
