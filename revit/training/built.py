"""Description of the objects that train, as plain data: evidence that a factor reached the training.

Two trials that differ in a factor differ here, and only where that factor has an effect.
"""

import hashlib
import json
from typing import Any

import torch
from torch import Tensor, nn

from revit.config import FineTuneConfig
from revit.datasets.augmentations import draw_crops, draw_mixup
from revit.datasets.batches import batch_indices
from revit.datasets.image_store import ImageStore
from revit.datasets.splits import Splits
from revit.models.dropout import active_dropout
from revit.models.normalization import normalization_of
from revit.training.schedules import Schedule

NUM_LR_PROBES = 9


def describe_build(
    config: FineTuneConfig,
    splits: Splits,
    store: ImageStore,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
) -> dict[str, Any]:
    """Return the content of `built.json`.

    Model, optimizer, learning rates and images are read from the objects that train. Batch sizes, clipping,
    normalization and selection are the config's, as no object holds them.
    """
    plateau = {"factor": schedule.config.plateau_factor, "patience": schedule.config.plateau_patience}
    return {
        "model": _describe_model(model, config.resolution),
        "optimizer": _describe_optimizer(optimizer),
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
    }


def _describe_model(model: nn.Module, resolution: int) -> dict[str, Any]:
    parameters = list(model.parameters())
    patches = getattr(model, "patch_embed", None)
    pos_embed = getattr(model, "pos_embed", None)
    return {
        "class": type(model).__name__,
        "num_params": sum(p.numel() for p in parameters),
        "num_trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "resolution": resolution,
        "num_tokens": None if patches is None else patches.num_patches + model.num_prefix_tokens,
        "pos_embed_norm": None if pos_embed is None else round(pos_embed.norm().item(), 5),
        "dropout": active_dropout(model, resolution),
        "initial_weights": parameter_digest(model.state_dict()),
    }


def _describe_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    names = ("momentum", "betas", "weight_decay")
    groups = [
        {name: group[name] for name in names if name in group} | {"num_tensors": len(group["params"])}
        for group in optimizer.param_groups
    ]
    return {"class": type(optimizer).__name__, "groups": groups}


def _probe_lr(schedule: Schedule) -> dict[str, float]:
    last = schedule.budget.num_steps - 1
    steps = sorted({0, *(round(last * i / (NUM_LR_PROBES - 1)) for i in range(NUM_LR_PROBES))})
    return {str(step): schedule.lr(step) for step in steps}


def _describe_data(config: FineTuneConfig, splits: Splits, store: ImageStore) -> dict[str, Any]:
    first = batch_indices(config, splits.train, 0)
    crops = draw_crops(config, 0, store.sizes[first])
    mixup = draw_mixup(config, 0, len(first))
    return {
        "digest": store.manifest.digest,
        "class_names": list(store.manifest.class_names),
        "num_train": len(splits.train),
        "num_val": len(splits.val),
        "num_test": len(splits.test),
        "indices": splits.digest,
        "first_batch": hashlib.sha256(first.tobytes()).hexdigest()[:16],
        "train_crop": config.train_crop,
        "first_boxes": hashlib.sha256(crops.boxes.tobytes()).hexdigest()[:16],
        "first_mixup_share": None if mixup is None else round(mixup.lam, 5),
        "num_flipped_in_first_batch": int(crops.flips.sum()),
    }


def built_digest(built: dict[str, Any]) -> str:
    """Return the digest of a description, without the micro-batch, which is not a factor: 16 hexadecimal digits."""
    hashed = {name: value for name, value in built.items() if name != "micro_batch"}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()[:16]


def parameter_digest(tensors: dict[str, Tensor]) -> str:
    """Return the digest of names and values: 16 hexadecimal digits, different for another initialization."""
    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()[:16]
