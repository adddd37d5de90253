"""Paths as users give them: which one is meant, and whether it can be read or written before anything depends on it."""

import os
from pathlib import Path

from revit.errors import InputError, UnwritableFolderError


def expand_path(path: Path) -> Path:
    """The absolute path that is meant, where `~` stands for a home folder.

    Raises:
        InputError: nobody has such a home folder, no path can be so, or it may not be looked at.
    """
    try:
        meant = path.expanduser().absolute()
        meant.stat()
    except (FileNotFoundError, NotADirectoryError):  # whoever wants it to be there says so
        pass
    except OSError as error:
        raise InputError(f"{path} cannot be used: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path} cannot be used: {error}") from error
    return meant


def check_regular(path: Path) -> None:
    """Raise InputError where a path is a pipe, a device or a folder: to read one may never end."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is not a regular file")


def check_writable(folder: Path, role: str) -> None:
    """Create a folder unless it exists; check that it can be written.

    Args:
        role: what the folder is for, as in `store` or `cache`.

    Raises:
        UnwritableFolderError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (OSError, RecursionError) as error:  # pathlib creates a folder's parents by recursion
        reason = error.strerror if isinstance(error, OSError) else "it is nested too deep"
        raise UnwritableFolderError(folder, role, reason or str(error)) from error
