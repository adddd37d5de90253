"""Config fields that are active: those that can have an effect, given the values of the others."""

from collections.abc import Callable, Mapping
from typing import Any

from revit.config import FineTuneConfig, ModelConfig
from revit.fields import IdentityRole, fields_by_path
from revit.functions import is_import_path
from revit.models.architectures import MODELS
from revit.training.optimizer_specs import simplest_values, takes

ACTIVE: Mapping[str, Callable[[FineTuneConfig], bool]] = {
    "subset_seed": lambda config: config.data_fraction < 1,
    "crop_scale": lambda config: config.train_crop == "random_resized",
    "resize_factor": lambda config: config.train_crop == "resized",
    "crop_padding": lambda config: config.train_crop == "padded",
    "randaugment_num_ops": lambda config: config.augmentation == "randaugment",
    "randaugment_magnitude": lambda config: config.augmentation == "randaugment",
    "model.pos_embed_resize": lambda config: _resizes_pos_embed(config.model, config.resolution),
    "model.frozen": lambda config: _freezes(config.model),
    "model.adapter_rank": lambda config: config.model.adapter in ("lora", "dora"),
    "model.adapter_alpha": lambda config: config.model.adapter in ("lora", "dora"),
    "optimizer.momentum": lambda config: takes("momentum", config.optimizer),
    "optimizer.betas": lambda config: takes("betas", config.optimizer),
    "optimizer.eps": lambda config: takes("eps", config.optimizer),
    "optimizer.layer_decay": lambda config: config.model.trained != "head" or is_import_path(config.model.name),
    "schedule.update": lambda config: config.schedule.name not in ("plateau", "constant"),
    "schedule.t_max": lambda config: config.schedule.name == "cosine",
    "schedule.milestones": lambda config: config.schedule.name == "multistep",
    "schedule.end_factor": lambda config: config.schedule.name == "exponential",
    "schedule.plateau_factor": lambda config: config.schedule.name == "plateau",
    "schedule.plateau_patience": lambda config: config.schedule.name == "plateau",
    "num_evals": lambda config: _evaluations_matter(config) and config.eval_every is None,
    "eval_every": lambda config: _evaluations_matter(config),
    "test_curve": lambda config: False,
    "test": lambda config: False,
    "test_sets": lambda config: False,
}
"""Field -> predicate: whether the field affects the tested weights. Fields that are not listed always may."""


def effective_values(config: FineTuneConfig, num_evals: int) -> dict[str, object]:
    """Return the values that determine the tested weights, by dotted path.

    Fields that are inactive, neutral or without effect are left out, and of choices that train alike the simplest is
    taken: two configs with the same values train the same weights.

    Args:
        num_evals: evaluations in the budget of the config.
    """
    simplest = {f"optimizer.{name}": value for name, value in simplest_values(config.optimizer).items()}
    if config.schedule.name == "plateau" and num_evals < config.schedule.plateau_patience + 3:
        # it acts after the first loss, which is the best so far, and more than `plateau_patience` worse ones
        simplest["schedule.name"] = "constant"
    if config.selection == "best_val" and num_evals == 1:
        simplest["selection"] = "last"  # the last evaluation comes after the last step
    if simplest:
        return effective_values(config.with_values(simplest), num_evals)
    owner: Any = type(config)
    values = config.flat()
    if config.normalization == "model" and config.model.name in MODELS:
        values["normalization"] = "inception"  # all of MODELS were trained with it
    return {
        path: values[path]
        for path, each in fields_by_path(owner).items()
        if each.role is not IdentityRole.WITHOUT_EFFECT
        and (each.role is not IdentityRole.NEUTRAL or values[path] != each.neutral)
        and (path not in ACTIVE or ACTIVE[path](config))
    }


def _evaluations_matter(config: FineTuneConfig) -> bool:
    return config.schedule.name == "plateau" or config.selection == "best_val"


def _freezes(model: ModelConfig) -> bool:
    """Return whether something of what is frozen would be trained otherwise: the embedding has no attention or MLP."""
    if model.frozen == "embedding":
        return model.trained not in ("head", "attention", "mlp") and model.adapter == "none"
    return model.trained != "head"


def _resizes_pos_embed(model: ModelConfig, resolution: int) -> bool:
    if not model.pretrained or model.pos_embed == "none":
        return False
    if model.name not in MODELS:
        return True
    spec = MODELS[model.name]
    return spec.patch_size is not None and (resolution != spec.resolution or model.weights is not None)
