"""Checks of what studies read: decoded images, pretrained weights."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from rich.filesize import decimal

import search_spaces
from revit.config import ModelConfig
from revit.datasets.image_store import ImageStore
from revit.errors import InputError, MissingInputError
from revit.models.weights import find_weights, weights_digest
from study.ledger.orphans import tree_size
from study.maintenance.checks import CheckResult, fixable

IMAGE_STORE = re.compile(".+-[0-9a-f]{16}")
"""Folder name of a decoded dataset."""


def check_datasets(cache: Path, *, fix: bool) -> Iterator[CheckResult]:
    """Check the sizes of decoded datasets, and find build folders that were abandoned."""
    faults = {folder: _fault(folder) for folder in sorted(cache.glob("*")) if IMAGE_STORE.fullmatch(folder.name)}
    for folder, fault in faults.items():
        if fault:
            yield CheckResult("error", f"images: {fault}; remove {folder}: the next `plan` decodes it again")
    yield CheckResult("ok", f"images: {list(faults.values()).count('')} datasets in {cache} verified by size")
    abandoned = list(cache.glob("building-*"))
    if abandoned and not _is_decoding(cache):
        size = decimal(sum(map(tree_size, abandoned)))
        if fix:
            for folder in abandoned:
                shutil.rmtree(folder)
        text = f"images: {len(abandoned)} abandoned build folders in {cache} ({size})"
        yield fixable(text, fixed=fix)


def _fault(folder: Path) -> str:
    try:
        ImageStore(folder)
    except (InputError, OSError) as error:
        return str(error)
    return ""


def _is_decoding(cache: Path) -> bool:
    """Return whether a process holds the lock under which a build folder is made."""
    for path in (cache / "sources").glob("*.lock"):
        try:
            with FileLock(path, blocking=False):
                pass
        except Timeout:
            return True
    return False


def check_weights() -> Iterator[CheckResult]:
    """Check that the pretrained weights of the studies can be read, if they are present."""
    models: dict[tuple[str, str | None], ModelConfig] = {}
    for name in search_spaces.names():
        try:
            found = [candidate.config.model for candidate in search_spaces.load(name).candidates((0,))]
        except InputError as error:
            yield CheckResult("error", f"studies: {error}")
        else:
            models |= {(model.name, model.weights): model for model in found if model.pretrained}
    num_read, missing = 0, []
    for model in models.values():
        try:
            weights_digest(find_weights(model))
            num_read += 1
        except MissingInputError:
            missing.append(model.name)
        except InputError as error:
            yield CheckResult("error", f"weights: {error}")
    advice = f"; {len(missing)} missing, get them with `fetch`: {', '.join(missing)}" if missing else ""
    yield CheckResult("ok", f"weights: {num_read} models present{advice}")
