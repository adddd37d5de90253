"""Scales: the same studies as the paper has them, or small enough for a CPU.

A scale is a function from a config of the paper's scale to its own. `nano` keeps what a study asks and shrinks what it
is asked of: models that this project pretrained on Fashion-MNIST at 28 px, real images that installed packages ship,
budgets of seconds. It shows how studies run and what shape their answers have; it is not evidence
for or against the paper's claims.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from revit.config import FineTuneConfig
from revit.errors import InputError

STAND_INS = {
    "cifar10": "mnist_5k",
    "cifar100": "photos",
    "flowers102": "digits",
    "flowers102_nelorth": "digits",
    "brain_tumor_mri": "specimens",
    "plant_health": "textures",
    "weapons": "faces",
}
"""Which dataset stands for which: as many classes or images as small sets of real images allow, another content."""

MODELS = {
    "vit_b16_in21k": "vit_nano",
    "vit_b16_in21k_ft_in1k": "vit_nano",
    "bit_r50x1_in21k": "bit_nano",
    "vit_cifar_scratch": "vit_nano",
    "vit_p16_scratch": "vit_nano",
}

RESOLUTIONS = {512: 64, 480: 48, 384: 48, 224: 28, 128: 16, 64: 8, 32: 20}
"""Pretraining is at 28 px as the paper's is at 224; patches are of 4 px as the paper's are of 16."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the models, images and budgets of a study are.

    Attributes:
        shrink: its config for one of the paper's scale.
        note: said wherever its results are shown; empty where there is nothing to say.
        stand_ins: its dataset for each of the paper's.
    """

    shrink: Callable[[FineTuneConfig], FineTuneConfig]
    note: str = ""
    stand_ins: Mapping[str, str] = field(default_factory=dict)


def nano(config: FineTuneConfig) -> FineTuneConfig:
    """A few thousand small images in batches of 32; short, with ten times the learning rate where it fine-tunes.

    Raises:
        InputError: a dataset, model or resolution that has nothing to stand for it.
    """
    from_scratch = not config.model.pretrained
    return config.with_values(
        {
            "dataset": _stand_in("dataset", STAND_INS, config.dataset),
            "model.name": _stand_in("model.name", MODELS, config.model.name),
            "resolution": _stand_in("resolution", RESOLUTIONS, config.resolution),
            **_nano_length(config),
            "optimizer.lr": config.optimizer.lr * (1 if from_scratch else 10),
            "crop_scale": (0.6, 1.0),
            "resize_factor": 1.25,
            "hflip": False,  # a mirrored digit is another sign, or none
            "batch_size": 32,
            "val_fraction": 0.1 if config.val_fraction else 0.0,
            "num_evals": min(config.num_evals, 10),
            **({"model.head_init": "trunc_normal"} if from_scratch and config.model.head_init == "zeros" else {}),
        }
    )


def _nano_length(config: FineTuneConfig) -> dict[str, object]:
    """Steps and epochs on about 1,400 images that last seconds; warmup keeps its share.

    Steps shrink as their square root, so that the long and the short stay apart: 500 to 10,000 become 36 to 160.
    """
    if config.steps is None:
        assert config.epochs is not None
        from_scratch = not config.model.pretrained
        return {"epochs": 3.0 if from_scratch else config.epochs / 7, "schedule.warmup_steps": 0}
    num_steps = max(1, round(1.6 * config.steps**0.5))
    return {"steps": num_steps, "schedule.warmup_steps": round(config.schedule.warmup_steps / config.steps * num_steps)}


def _stand_in(name: str, table: Mapping[Any, object], value: object) -> object:
    if value in table:
        return table[value]
    if value in table.values():
        return value
    known = ", ".join(map(str, table))
    raise InputError(f"{name} = {value!r}: nothing stands for it at the nano scale; known are {known}")


SCALES: dict[str, Scale] = {
    "paper": Scale(shrink=lambda config: config),
    "nano": Scale(
        shrink=nano,
        note="nano scale: small models and other images. It shows how studies run; it is not evidence for or "
        "against the paper's claims.",
        stand_ins=STAND_INS,
    ),
}
