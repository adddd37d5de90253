"""Description of the objects that train, as plain data: evidence that a factor reached the training.

Two trials that differ in a factor differ here, and only where that factor has an effect.
"""

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from revit.config import FineTuneConfig
from revit.datasets.batches import batch_indices, train_batch
from revit.datasets.crops import draw_crops
from revit.datasets.erasing import draw_erased
from revit.datasets.image_store import ImageStore
from revit.datasets.mixing import draw_mix
from revit.datasets.splits import Splits
from revit.functions import is_import_path, source_digest
from revit.models.adapters import describe_adapters
from revit.models.dropout import active_dropout
from revit.models.normalization import normalization_of
from revit.models.trained_parts import count_by_pattern
from revit.training.batch_loss import image_losses
from revit.training.schedules import Schedule
from revit.training.train_state import TrainState

NUM_LR_PROBES = 9
KERNEL_CHOICES = ("foreach", "fused", "capturable", "differentiable")
"""Options of an optimizer that leave its result as it is, up to rounding."""


def describe_build(
    config: FineTuneConfig,
    splits: Splits,
    store: ImageStore,
    state: TrainState,
) -> dict[str, Any]:
    """Return the content of `built.json`.

    Model, optimizer, learning rates, losses and images are read from the objects that train. Batch sizes, clipping,
    normalization and selection are the config's, as no object holds them.
    """
    schedule = state.schedule
    plateau = {"factor": schedule.config.plateau_factor, "patience": schedule.config.plateau_patience}
    return {
        "model": _describe_model(state.model, config),
        "optimizer": _describe_optimizer(state.optimizer, config.optimizer.name),
        "ema_decay": None if state.average is None else state.average.decay,
        "loss": _describe_loss(config, len(store.manifest.class_names)),
        "normalization": {name: list(values) for name, values in normalization_of(config)._asdict().items()},
        "max_grad_norm": config.optimizer.max_grad_norm,
        "num_steps": schedule.budget.num_steps,
        "schedule": schedule.config.name,
        "plateau": plateau if schedule.config.name == "plateau" else None,
        "lr_at_step": _probe_lr(schedule),
        "data": _describe_data(config, splits, store),
        "batch_size": config.batch_size,
        "micro_batch": config.micro_batch or config.batch_size,
        "selection": config.selection,
        "eval_steps": list(schedule.budget.eval_steps),
        "test_curve": config.test_curve,
        "test": config.test,
    }


def _describe_model(model: nn.Module, config: FineTuneConfig) -> dict[str, Any]:
    parameters = list(model.parameters())
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    patches = getattr(model, "patch_embed", None)
    pos_embed = getattr(model, "pos_embed", None)
    name = config.model.name
    return {
        "class": type(model).__name__,
        "function": _with_source(name) if is_import_path(name) else None,
        "num_params": sum(p.numel() for p in parameters),
        "num_trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "trained": count_by_pattern(trained),
        "trained_digest": hashlib.sha256("\n".join(trained).encode()).hexdigest()[:16],
        "adapter": describe_adapters(model),
        "resolution": config.resolution,
        "num_tokens": None if patches is None else patches.num_patches + model.num_prefix_tokens,
        "pos_embed_norm": None if pos_embed is None else round(pos_embed.norm().item(), 5),
        "dropout": active_dropout(model, config.resolution),
        "initial_weights": parameter_digest(model.state_dict()),
    }


def _describe_optimizer(optimizer: torch.optim.Optimizer, name: str) -> dict[str, Any]:
    return {
        "class": type(optimizer).__name__,
        "function": _with_source(name) if is_import_path(name) else None,
        "groups": [_describe_group(group) for group in optimizer.param_groups],
    }


def _describe_group(group: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a parameter group, except the learning rate, which the schedule sets."""
    options = {name: value for name, value in group.items() if name not in ("params", "lr", *KERNEL_CHOICES)}
    plain = {name: value if _is_plain(value) else repr(value) for name, value in options.items()}
    return plain | {"num_tensors": len(group["params"])}


def _is_plain(value: object) -> bool:
    is_list = isinstance(value, list | tuple) and all(map(_is_plain, value))
    return is_list or value is None or isinstance(value, bool | int | float | str)


def _probe_lr(schedule: Schedule) -> dict[str, float]:
    last = schedule.budget.num_steps - 1
    steps = sorted({0, *(round(last * i / (NUM_LR_PROBES - 1)) for i in range(NUM_LR_PROBES))})
    return {str(step): schedule.lr(step) for step in steps}


def _describe_loss(config: FineTuneConfig, num_classes: int) -> dict[str, Any]:
    """Return the loss by name, with its value for an image of the first class and logits from 1 to -1."""
    example = image_losses(config, torch.linspace(1, -1, num_classes)[None], torch.tensor([0])).item()
    return {"name": _with_source(config.loss), "example": round(example, 5)}


def _with_source(name: str) -> str:
    """Return a name; of a function of the user, with the digest of its source."""
    return f"{name} (source {source_digest(name)})" if is_import_path(name) else name


def _describe_data(config: FineTuneConfig, splits: Splits, store: ImageStore) -> dict[str, Any]:
    first = batch_indices(config, splits.train, 0)
    crops = draw_crops(config, 0, store.sizes[first])
    return {
        "digest": store.manifest.digest,
        "class_names": list(store.manifest.class_names),
        "num_train": len(splits.train),
        "num_val": len(splits.val),
        "num_test": len(splits.test),
        "indices": splits.digest,
        "first_batch": array_digest(first),
        "train_crop": config.train_crop,
        "first_boxes": array_digest(crops.boxes),
        "num_flipped_in_first_batch": int(crops.flips.sum()),
        **_describe_augmentation(config, splits, store),
    }


def _describe_augmentation(config: FineTuneConfig, splits: Splits, store: ImageStore) -> dict[str, Any]:
    """Return what happens to the first batch after its crops and flips."""
    count = len(batch_indices(config, splits.train, 0))
    mix, erased = draw_mix(config, 0, count), draw_erased(config, 0, count)
    is_augmented = config.augmentation != "none"
    return {
        "augmentation": _with_source(config.augmentation),
        "first_augmented": array_digest(train_batch(config, store, splits.train, 0).images) if is_augmented else None,
        "first_mix_share": None if mix is None else round(mix.lam, 5),
        "first_cutmix_box": None if mix is None else mix.box,
        "first_erased_boxes": None if erased is None else array_digest(erased),
    }


def array_digest(values: npt.ArrayLike) -> str:
    """Return the digest of the values of an array: 16 hexadecimal digits."""
    return hashlib.sha256(np.asarray(values).tobytes()).hexdigest()[:16]


def built_digest(built: dict[str, Any]) -> str:
    """Return the digest of a description, without the micro-batch, which is not a factor: 16 hexadecimal digits."""
    hashed = {name: value for name, value in built.items() if name != "micro_batch"}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:16]


def state_digest(state: TrainState) -> str:
    """Return the step of a trial, and the digests of its weights and of those that are tested."""
    weights = (each.state_dict() for each in (state.model, state.tested_model))
    return " ".join([str(state.step), *map(parameter_digest, weights)])


def parameter_digest(tensors: dict[str, Tensor]) -> str:
    """Return the digest of names and values: 16 hexadecimal digits, different for another initialization."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:16]
