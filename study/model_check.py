"""Checks of the models that a study names, with their optimizers.

The project's own as they are need no check; torch takes seconds to import.
"""

from collections.abc import Iterable
from dataclasses import replace

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig
from revit.functions import is_import_path, load_function
from revit.models.architectures import MODELS
from revit.training.optimizer_specs import OPTIMIZERS
from search_spaces.framework.space import SearchSpace


def check_names(space: SearchSpace) -> None:
    """Raise InputError if a study names a model that timm does not have, with close names, or no function."""
    for name in sorted({config.model.name for config in _foreign_configs(space)} - MODELS.keys()):
        if is_import_path(name):
            load_function(name)
        else:
            from revit.models.timm_models import check_name

            check_name(name)


def check_models(space: SearchSpace) -> None:
    """Raise InputError if a model or its optimizer cannot be built, does not accept its images, or lacks a part.

    The user's own functions are called once. Models are built on the meta device: without files and without memory.
    """
    distinct = {model_key(config): config for config in _foreign_configs(space)}
    for config in distinct.values():
        from revit.models.build import check_model

        check_model(config, None)
    configs = [candidate.config for candidate in space.candidates(space.seeds[:1])]
    check_functions(configs)
    check_optimizers(configs)


def check_functions(configs: Iterable[FineTuneConfig]) -> None:
    """Raise InputError if a loss or an augmentation that a user brings does not work."""
    for config in configs:
        if is_import_path(config.loss):
            from revit.training.batch_loss import check_loss

            check_loss(config)
        if is_import_path(config.augmentation):
            from revit.datasets.augmented_images import check_augmentation

            check_augmentation(config)


def check_optimizers(configs: Iterable[FineTuneConfig]) -> None:
    """Raise InputError if an optimizer does not exist, or cannot be built for its config's model."""
    distinct = {_optimizer_key(config): config for config in configs if not _is_plain(config.optimizer)}
    for config in distinct.values():
        from revit.training.optimizers import check_optimizer

        check_optimizer(config)


def _is_plain(optimizer: OptimizerConfig) -> bool:
    return optimizer.name in OPTIMIZERS and optimizer.layer_decay == 1


def _optimizer_key(config: FineTuneConfig) -> tuple[object, ...]:
    """Return the part of a config that determines whether its optimizer can be built."""
    return replace(config.optimizer, lr=1.0, weight_decay=0.0), config.model, config.resolution


def model_key(config: FineTuneConfig) -> tuple[object, ...]:
    """Return the part of a config that determines whether its model can be trained."""
    return config.model, config.resolution, config.normalization, config.micro_batch is None


def _foreign_configs(space: SearchSpace) -> list[FineTuneConfig]:
    """Return the configs of models that are not the project's own, or of which only a part is trained or adapted."""
    configs = [candidate.config for candidate in space.candidates(space.seeds[:1])]
    return [config for config in configs if config.model.name not in MODELS or _has_parts(config.model)]


def _has_parts(model: ModelConfig) -> bool:
    parts = (model.trained, model.frozen, model.adapter, model.drop_path)
    return parts != ("all", "none", "none", 0)
