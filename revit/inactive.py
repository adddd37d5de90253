"""Fields of a config that cannot have an effect, given the others: known before anything is built."""

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
"""By field, whether it has an effect on the tested weights; other fields always may. Nothing here guesses: a field that
is told to have no effect has none."""


def without_inactive(config: FineTuneConfig) -> FineTuneConfig:
    """Return the config that trains the same, with every field that has no effect at its default.

    Two configs that come to the same one train the same weights. Not all that do come to the same one.
    """
    alike = config.with_values({**_plainer_schedule(config), **_plainer_selection(config), **_normalization(config)})
    defaults = FineTuneConfig(dataset=config.dataset, steps=1).flat()
    return alike.with_values({path: defaults[path] for path, is_active in ACTIVE.items() if not is_active(alike)})


def _plainer_schedule(config: FineTuneConfig) -> dict[str, object]:
    """Plateau is constant where it cannot act: the first loss is the best, then come those that are not better."""
    too_few = (
        config.num_evals < config.schedule.plateau_patience + 3
    )  # the last one comes when nothing is left to train
    return {"schedule.name": "constant"} if config.schedule.name == "plateau" and too_few else {}


def _plainer_selection(config: FineTuneConfig) -> dict[str, object]:
    """Of one validation, the best is the last."""
    return {"selection": "last"} if config.num_evals == 1 else {}


def _normalization(config: FineTuneConfig) -> dict[str, object]:
    """All of MODELS were trained with `inception`."""
    return {"normalization": "inception"} if config.normalization == "model" and config.model.name in MODELS else {}


def _resizes_pos_embed(model: ModelConfig, resolution: int) -> bool:
    if not model.pretrained or model.pos_embed == "none":
        return False
    if model.name not in MODELS:
        return True
    spec = MODELS[model.name]
    return spec.patch_size is not None and (resolution != spec.resolution or model.weights is not None)
