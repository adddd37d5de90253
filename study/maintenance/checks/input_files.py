"""Whether decoded images and pretrained weights are what they were when they came here."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from rich.filesize import decimal

import search_spaces
from revit.config import ModelConfig
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.models.weights import find_weights, weights_digest
from search_spaces.framework.scales import SCALES
from search_spaces.framework.space import SearchSpace
from study.ledger.orphans import inside, tree_size
from study.maintenance.checks import CheckResult

STORE = re.compile(".+-[0-9a-f]{16}")
"""How the folder of a decoded dataset is called."""
LONGEST_BUILD_S = 86_400.0
"""Without a byte written, after which decoding has died: the time that users are given who suspended it."""


def check_datasets(cache: Path, *, fix: bool) -> Iterator[CheckResult]:
    """Look at the image stores of a cache folder, by their sizes, and at what is left of decoding that was killed."""
    faults = {folder: _fault(folder) for folder in inside(cache) if STORE.fullmatch(folder.name)}
    for folder, fault in faults.items():
        if fault:
            yield CheckResult("look", f"images: {fault}; remove {folder}: the next `plan` decodes it again")
    yield CheckResult("ok", f"images: {list(faults.values()).count('')} datasets in {cache} are whole by their sizes")
    old = [folder for folder in cache.glob("building-*") if _age_s(folder) > LONGEST_BUILD_S]
    if old and not _is_decoding(cache):
        size = decimal(sum(map(tree_size, old)))
        if fix:
            for folder in old:
                shutil.rmtree(folder)
        yield CheckResult("fixed" if fix else "to fix", f"images: {len(old)} half-decoded datasets in {cache} ({size})")


def _fault(folder: Path) -> str:
    try:
        ImageStore(folder)
    except (InputError, OSError) as error:
        return str(error)
    return ""


def _age_s(folder: Path) -> float:
    """Seconds since anything in it was written."""
    return time.time() - max(path.stat().st_mtime for path in (folder, *folder.iterdir()))


def _is_decoding(cache: Path) -> bool:
    """Whether any process decodes a dataset into this cache."""
    return any(_is_held(path) for path in (cache / "sources").glob("*.lock"))


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, blocking=False):
            return False
    except Timeout:
        return True


def check_weights() -> Iterator[CheckResult]:
    """Look at the weights that the studies start from, of which only those that are here can be wrong."""
    models: dict[ModelConfig, None] = {}
    for name in search_spaces.names():
        try:
            models |= dict.fromkeys(_models(search_spaces.load(name)))
        except InputError as error:
            yield CheckResult("look", f"studies: {error}")
    here, absent = 0, []
    for model in models:
        try:
            weights = find_weights(model)
        except InputError:
            absent.append(model.name)
            continue
        try:
            weights_digest(weights)
            here += 1
        except InputError as error:
            yield CheckResult("look", f"weights: {error}")
    away = f"; {len(absent)} are not here, which `fetch` gets: {', '.join(absent)}" if absent else ""
    yield CheckResult("ok", f"weights: those of {here} models are here and can be read{away}")


def _models(space: SearchSpace) -> list[ModelConfig]:
    """The pretrained models that a study names, at any scale."""
    spaces = [space] if space.base is not None else [space.at(scale, None) for scale in SCALES]
    configs = [candidate.config for each in spaces for candidate in each.candidates(each.seeds[:1])]
    models = (config.model for config in configs if config.model.pretrained)
    return [ModelConfig(name=model.name, weights=model.weights) for model in models]
