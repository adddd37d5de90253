"""How much of a disk a study takes, told before it runs."""

from collections.abc import Iterable, Iterator
from shutil import disk_usage

from rich.filesize import decimal

from revit.config import FineTuneConfig
from revit.datasets.image_store import bytes_to_write
from revit.models.architectures import MODELS
from revit.paths import check_writable
from search_spaces.framework.space import SearchSpace
from study.plan import Folders

BYTES = 4
"""Of a number in a file: weights and moments are kept in 32 bits, whatever they are computed in."""
MOMENTS = {"sgd": 1, "adam": 2, "adamw": 2}
"""By optimizer, numbers that it keeps for each parameter."""
NUM_CHECKPOINTS = 3
"""Of a trial: two are kept, and the next is whole before the older of them goes."""


def model_bytes(config: FineTuneConfig) -> int:
    """Size of a trial's model file; 0 where the model's is not known."""
    spec = MODELS.get(config.model.name)
    return 0 if spec is None else spec.num_params * BYTES


def checkpoint_bytes(config: FineTuneConfig) -> int:
    """Size of a trial's checkpoint: its weights, the optimizer's moments, and the best weights where they are kept."""
    return model_bytes(config) * (1 + MOMENTS[config.optimizer.name] + (config.selection == "best_val"))


def disk_line(configs: Iterable[FineTuneConfig], first_seed: int) -> str:
    """What trials that are to run will take, as a line.

    Args:
        configs: of at least one.
        first_seed: the one of whose trials the models are kept.
    """
    configs = list(configs)
    kept = [model_bytes(config) for config in configs if config.seed == first_seed]
    checkpoints = NUM_CHECKPOINTS * max(map(checkpoint_bytes, configs))
    unknown = sorted({config.model.name for config in configs if not model_bytes(config)})
    line = f"disk: {decimal(sum(kept))} for {len(kept)} models, and up to {decimal(checkpoints)} per running trial"
    return f"{line}; without those of {', '.join(unknown)}, whose size is not known" if unknown else line


def images_lines(space: SearchSpace, folders: Folders) -> Iterator[str]:
    """Return what each dataset that was never decoded here will take in the cache, a line each."""
    for dataset in dict.fromkeys(candidate.config.dataset for candidate in space.candidates(space.seeds[:1])):
        num_bytes = bytes_to_write(dataset, data_dir=folders.data, cache_dir=folders.cache)
        if num_bytes:
            check_writable(folders.cache, "cache")
            free = decimal(disk_usage(folders.cache).free)
            yield f"disk: {decimal(num_bytes)} for the images of {dataset} in {folders.cache}, where {free} are free"
