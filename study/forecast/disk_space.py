"""Disk space that a study will need."""

from collections.abc import Iterable

from rich.filesize import decimal

from revit.config import FineTuneConfig
from revit.models.architectures import MODELS

FLOAT32_BYTES = 4
"""Weights and moments are stored in float32."""
NUM_MOMENTS = {"sgd": 1, "adam": 2, "adamw": 2}
"""Values that an optimizer stores per parameter."""
MAX_MOMENTS = 4
"""Most values per parameter that any other optimizer of timm stores: Adan."""
MAX_CHECKPOINTS = 3
"""Peak checkpoint files per trial: two kept, one being written."""


def model_bytes(config: FineTuneConfig) -> int:
    """Return the size of a trial's model file; 0 for a model of unknown size."""
    spec = MODELS.get(config.model.name)
    return 0 if spec is None else spec.num_params * FLOAT32_BYTES


def checkpoint_bytes(config: FineTuneConfig) -> int:
    """Return the size of a checkpoint: weights, moments, averaged weights, best weights, where there are such."""
    num_copies = 1 + (config.ema_decay > 0) + (config.selection == "best_val")
    return model_bytes(config) * (num_copies + NUM_MOMENTS.get(config.optimizer.name, MAX_MOMENTS))


def disk_line(configs: Iterable[FineTuneConfig], first_seed: int) -> str:
    """Return the space that new trials will need, as a line.

    Args:
        configs: at least one.
        first_seed: only models of this seed are kept, and none of search trials.
    """
    configs = list(configs)
    kept = [model_bytes(config) for config in configs if config.test and config.seed == first_seed]
    checkpoints = MAX_CHECKPOINTS * max(map(checkpoint_bytes, configs))
    unknown = sorted({config.model.name for config in configs if not model_bytes(config)})
    line = f"disk: {decimal(sum(kept))} for {len(kept)} models, and up to {decimal(checkpoints)} per running trial"
    return f"{line}; not counting {', '.join(unknown)} of unknown size" if unknown else line
