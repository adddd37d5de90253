"""A disk that is full."""

import contextlib
import shutil
from pathlib import Path


def fill(disk: Path, *, free_bytes: int = 0) -> Path:
    """Fill a small disk with a file, except for some bytes; return the file."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while shutil.disk_usage(disk).free > free_bytes:
            file.write(bytes(4096))
    return filler
