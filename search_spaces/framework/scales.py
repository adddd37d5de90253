"""Scales: sizes of a study's models, images, budgets.

A scale is a function from a config at paper scale to its own. `nano` runs on a CPU: models that this project
pretrained on Fashion-MNIST at 28 px, real images that installed packages ship, budgets of seconds. It shows how studies
run and what shape their answers have. It is not evidence for or against any published claim.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.validation import require
from search_spaces.framework.claim_cells import Value

Proxies = Mapping[str, Any]
"""Mapping with the nano value for each at paper scale, by config field."""

PROXIES: Proxies = {
    "dataset": {
        "cifar10": "mnist_5k",
        "cifar100": "photos",
        "flowers102": "digits",
        "flowers102_trainval": "digits",
        "flowers102_nelorth": "digits",
        "brain_tumor_mri": "specimens",
        "plant_health": "textures",
        "weapons": "faces",
    },
    "model.name": {
        "vit_b16_in21k": "vit_nano",
        "vit_b16_in21k_ft_in1k": "vit_nano",
        "bit_r50x1_in21k": "bit_nano",
        "vit_cifar_scratch": "vit_nano",
        "vit_p16_scratch": "vit_nano",
    },
    "resolution": {512: 64, 480: 48, 384: 48, 224: 28, 128: 16, 64: 8, 32: 20},
}
"""Proxies of `re_vit`; a study adds its own, `SearchSpace(proxies=)`.

Datasets are similar in number of classes or images, different in content. Models are pretrained at 28 px, not 224, and
patches are of 4 px, not 16.
"""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Size of a study's models, images and budgets.

    Attributes:
        shrink: function from a config at paper scale, and a study's own proxies, to a config at this scale.
        test_set: function from a further test set at paper scale, and these proxies, to that at this scale.
        caveat: shown beside every result; empty for none.
    """

    shrink: Callable[[FineTuneConfig, Proxies], FineTuneConfig]
    test_set: Callable[[str, Proxies], str]
    caveat: str = ""


def nano(config: FineTuneConfig, own_proxies: Proxies) -> FineTuneConfig:
    """Return a config of a short training on small images, with 10 times the learning rate where it fine-tunes.

    Raises:
        InputError: a dataset, further test set, model or resolution without a proxy.
    """
    proxies = {path: {**values, **own_proxies.get(path, {})} for path, values in PROXIES.items()}
    from_scratch = not config.model.pretrained
    flat = config.flat()
    return config.with_values(
        {
            **{path: _proxy(path, values, flat[path]) for path, values in proxies.items()},
            "test_sets": tuple(dict.fromkeys(nano_test_set(name, own_proxies) for name in config.test_sets)),
            **_nano_length(config),
            "optimizer.lr": config.optimizer.lr * (1 if from_scratch else 10),
            "crop_scale": (0.6, 1.0),
            "resize_factor": 1.25,
            "hflip": False,  # a mirrored digit is not that digit
            "batch_size": 32,
            "val_fraction": 0.1 if config.val_fraction else 0.0,
            "num_evals": min(config.num_evals, 10),
            "eval_every": None,
            **({"model.head_init": "trunc_normal"} if from_scratch and config.model.head_init == "zeros" else {}),
        }
    )


def nano_test_set(name: str, own_proxies: Proxies) -> str:
    """Return the nano dataset for a further test set; several may have the same.

    Raises:
        InputError: it has no proxy.
    """
    return str(_proxy("test_sets", {**PROXIES["dataset"], **own_proxies.get("dataset", {})}, name))


def check_proxies(proxies: Proxies, *, has_scales: bool) -> None:
    """Raise InputError unless a study's own proxies are of fields that have some, and the study has scales."""
    fits = proxies.keys() <= PROXIES.keys() and all(isinstance(each, Mapping) for each in proxies.values())
    right = f"a value for each value, by {', '.join(PROXIES)}, and only where `base` is not given"
    require(fits and (has_scales or not proxies), "proxies", proxies, right)


def _nano_length(config: FineTuneConfig) -> dict[str, object]:
    """Return steps or epochs that take seconds on about 1,400 images; warmup keeps its share of the steps.

    Steps become 1.6 times their square root, so that long and short budgets stay apart: 500 and 10,000 become 36 and
    160.
    """
    if config.steps is None:
        assert config.epochs is not None
        from_scratch = not config.model.pretrained
        return {"epochs": 3.0 if from_scratch else config.epochs / 7, "schedule.warmup": 0}
    num_steps = max(1, round(1.6 * config.steps**0.5))
    warmup = config.schedule.warmup
    scaled = round(warmup / config.steps * num_steps) if isinstance(warmup, int) else warmup
    return {"steps": num_steps, "schedule.warmup": scaled}


def _proxy(name: str, table: Mapping[Value, Value], value: Value) -> Value:
    """Return the nano value for one at paper scale; a nano value stays."""
    if value in table:
        return table[value]
    if value in table.values():
        return value
    known = ", ".join(map(str, table))
    raise InputError(f"{name} = {value!r}: it has no proxy at the nano scale; known are {known}")


SCALES: dict[str, Scale] = {
    "paper": Scale(shrink=lambda config, _: config, test_set=lambda name, _: name),
    "nano": Scale(
        shrink=nano,
        test_set=nano_test_set,
        caveat="nano scale: small models and other images. It shows how studies run; it is not evidence for or against "
        "any published claim.",
    ),
}
