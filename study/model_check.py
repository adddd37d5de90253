"""Checks of the timm models that a study names.

The project's own models are checked without torch, which takes seconds to import.
"""

from revit.config import FineTuneConfig
from revit.models.architectures import MODELS
from search_spaces.framework.space import SearchSpace


def check_names(space: SearchSpace) -> None:
    """Raise InputError, with close names, if a study names a model that timm does not have."""
    for name in sorted({config.model.name for config in _foreign_configs(space)}):
        from revit.models.timm_models import check_name

        check_name(name)


def check_models(space: SearchSpace) -> None:
    """Raise InputError if a model cannot be built, or does not accept images of its config's resolution.

    Models are built on the meta device: without files and without memory.
    """
    distinct = {model_key(config): config for config in _foreign_configs(space)}
    for config in distinct.values():
        from revit.models.build import check_model

        check_model(config, None)


def model_key(config: FineTuneConfig) -> tuple[object, ...]:
    """Return the part of a config that determines whether its model can be trained."""
    return config.model, config.resolution, config.normalization, config.micro_batch is None


def _foreign_configs(space: SearchSpace) -> list[FineTuneConfig]:
    configs = [candidate.config for candidate in space.candidates(space.seeds[:1])]
    return [config for config in configs if config.model.name not in MODELS]
