"""The inputs of a trial on the node that trains it: there already, in the node's cache, or fetched from the storage."""

import errno
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray
from filelock import FileLock

from revit.datasets.image_store import ImageStore
from revit.datasets.readers.images import decoder
from revit.errors import InputError, UnwritableFolderError, first_line
from revit.paths import check_writable
from study.execution.failures import NodeUnfitError
from study.execution.shared_inputs import SharedInput
from study.system.retry import or_timeout, retry_transient
from study.system.storage import Storage

CACHE_VARIABLE = "REVIT_CACHE_DIR"
"""Environment variable of a node that names its cache folder."""
STORAGE_TIMEOUT_S = 600.0
"""Maximum time that a node waits for the storage: after it, its trials go to other nodes."""
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Errors of this node's disk. Those of the storage have other numbers, or none."""


def node_cache(driver_cache: Path) -> Path:
    """Return this node's cache folder: the one in its environment, else the path that the driver has."""
    return Path(os.environ.get(CACHE_VARIABLE) or driver_cache).expanduser().absolute()


def find_images(images: SharedInput, storage: Storage, should_stop: Callable[[], bool]) -> ImageStore:
    """Open the images of a trial on this node; see `find_input`.

    Raises:
        NodeUnfitError: as `find_input`, or images are kept encoded, and this node decodes them by other software.
    """
    store = ImageStore(find_input(images, node_cache(images.path.parent), storage, should_stop))
    if not store.has_own_decoder:
        built = store.manifest.decoder
        raise _unfit(f"it decodes images by {decoder()}, but {store.folder.name} was built by {built}")
    return store


def find_weights(
    weights: SharedInput | None, images: SharedInput, storage: Storage, should_stop: Callable[[], bool]
) -> Path | None:
    """Return the weights of a trial on this node, None for none; see `find_input`.

    Args:
        images: those of the trial, in the driver's cache folder.
    """
    if weights is None:
        return None
    return find_input(weights, node_cache(images.path.parent), storage, should_stop)


def find_input(wanted: SharedInput, cache: Path, storage: Storage, should_stop: Callable[[], bool]) -> Path:
    """Return the path of an input on this node.

    Where it is not there, one worker of the node fetches it into the node's cache, and the others wait. While the
    storage is unavailable, all of them wait for `STORAGE_TIMEOUT_S` at most.

    Args:
        should_stop: returns whether the study stops.

    Raises:
        InputError: it is neither on this node nor in the storage.
        NodeUnfitError: this node cannot fetch it.
    """
    places = wanted.places(cache)
    for path in places:
        if not _find_fault(wanted, path):
            return path
    gives_up = or_timeout(should_stop, STORAGE_TIMEOUT_S)
    retry = partial(retry_transient, is_transient=_may_be_reached_later, should_stop=gives_up)
    try:
        if not retry(lambda: storage.exists(wanted.stored_name)):
            raise InputError(f"{_find_fault(wanted, wanted.path)}, and {storage.address} has no {wanted.stored_name}")
        check_writable(cache, "cache")
        (cache / "locks").mkdir(exist_ok=True)
        with FileLock(cache / "locks" / f"{wanted.name}.lock"):
            if _find_fault(wanted, places[-1]):
                _fetch(wanted, places[-1], storage, retry)
    except (UnwritableFolderError, OSError) as error:
        raise _unfit(f"it cannot fetch {wanted.name}: {first_line(error)}") from error
    return places[-1]


def _find_fault(wanted: SharedInput, path: Path) -> str:
    try:
        return wanted.find_fault(path)
    except (InputError, OSError) as error:
        return first_line(error)


def _may_be_reached_later(error: BaseException) -> bool:
    return Storage.is_transient(error) and getattr(error, "errno", None) not in DISK_ERRORS


def _fetch(wanted: SharedInput, path: Path, storage: Storage, retry: Callable[[Callable[[], Any]], Any]) -> None:
    """Fetch an input beside its place, check all of it, then move it there. Nobody else does so now."""
    path.parent.mkdir(exist_ok=True)
    fetching = path.with_name(f"{path.name}.fetching")
    for each in path.parent.iterdir():
        if fetching.name in each.name:  # left by a worker that was killed
            _delete(each)
    retry(lambda: storage.download(wanted.stored_name, fetching))
    try:
        if fault := wanted.find_fault(fetching, thorough=True):
            raise OSError(f"{fault}: it was damaged on its way from {storage.address}")
        _delete(path)
        fetching.rename(path)
    finally:
        _delete(fetching)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _unfit(reason: str) -> NodeUnfitError:
    return NodeUnfitError(ray.get_runtime_context().get_node_id(), reason)
