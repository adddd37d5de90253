"""Config fields that cannot have an effect, given the values of the others."""

from collections.abc import Callable, Mapping

from revit.config import FineTuneConfig, ModelConfig
from revit.models.architectures import MODELS

ACTIVE: Mapping[str, Callable[[FineTuneConfig], bool]] = {
    "subset_seed": lambda config: config.data_fraction < 1,
    "crop_scale": lambda config: config.train_crop == "random_resized",
    "resize_factor": lambda config: config.train_crop == "resized",
    "crop_padding": lambda config: config.train_crop == "padded",
    "model.pos_embed_resize": lambda config: _resizes_pos_embed(config.model, config.resolution),
    "optimizer.momentum": lambda config: config.optimizer.name == "sgd",
    "schedule.update": lambda config: config.schedule.name not in ("plateau", "constant"),
    "schedule.t_max": lambda config: config.schedule.name == "cosine",
    "schedule.milestones": lambda config: config.schedule.name == "multistep",
    "schedule.end_factor": lambda config: config.schedule.name == "exponential",
    "schedule.plateau_factor": lambda config: config.schedule.name == "plateau",
    "schedule.plateau_patience": lambda config: config.schedule.name == "plateau",
    "num_evals": lambda config: config.schedule.name == "plateau" or config.selection == "best_val",
    "test_curve": lambda config: False,
}
"""Field -> predicate: whether the field affects the tested weights. Fields that are not listed always may."""


def without_inactive(config: FineTuneConfig) -> FineTuneConfig:
    """Return an equivalent config, with every inactive field at its default, and the simplest of equal choices.

    Configs with the same result train the same weights; the converse does not hold.
    """
    values: dict[str, object] = {}
    if config.schedule.name == "plateau" and config.num_evals < config.schedule.plateau_patience + 3:
        # it acts after the first loss, which is the best so far, and more than `plateau_patience` worse ones
        values["schedule.name"] = "constant"
    if config.num_evals == 1:
        values["selection"] = "last"  # the last evaluation comes after the last step
    if config.normalization == "model" and config.model.name in MODELS:
        values["normalization"] = "inception"  # all of MODELS were trained with it
    simpler = config.with_values(values)
    defaults = FineTuneConfig(dataset=config.dataset, steps=1).flat()
    return simpler.with_values({path: defaults[path] for path, is_active in ACTIVE.items() if not is_active(simpler)})


def _resizes_pos_embed(model: ModelConfig, resolution: int) -> bool:
    if not model.pretrained or model.pos_embed == "none":
        return False
    if model.name not in MODELS:
        return True
    spec = MODELS[model.name]
    return spec.patch_size is not None and (resolution != spec.resolution or model.weights is not None)
