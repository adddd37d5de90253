"""Artifacts of a trial, on their way from its worker to the driver."""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from study.system.storage import Storage

SHARED_FOLDER_LAG_S = 10.0
"""Maximum time until a shared folder shows what another node has written: NFS caches what it has listed."""
POLL_S = 0.2
"""Time between two looks at a shared folder."""


def fetch_artifacts(storage: Storage, reported: Mapping[str, int], folder: Path) -> list[str]:
    """Bring the files that a worker wrote to a folder of this machine, unless the worker wrote them there itself.

    Args:
        reported: bytes of each file, by its name in the storage.

    Returns:
        The names of files that are missing, or have another size.
    """
    sizes = {PurePosixPath(name).name: size for name, size in reported.items()}
    if storage.folder is None:
        missing = _find_missing(folder, sizes)
        for name in (each for each in reported if PurePosixPath(each).name in missing):
            with suppress(FileNotFoundError):
                storage.download(name, folder / PurePosixPath(name).name)
    end_s = time.monotonic() + SHARED_FOLDER_LAG_S
    while (missing := _find_missing(folder, sizes)) and storage.folder is not None and time.monotonic() < end_s:
        time.sleep(POLL_S)
    return missing


def _find_missing(folder: Path, sizes: Mapping[str, int]) -> list[str]:
    with suppress(OSError):
        list(folder.iterdir())  # NFS asks its server when a folder is listed, but not when a file is looked up
    found = {name: (folder / name).stat().st_size for name in sizes if (folder / name).is_file()}
    return [name for name, size in sizes.items() if found.get(name) != size]
