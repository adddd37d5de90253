"""Paths as users give them: which one is meant, and whether it can be written before anything depends on it."""

import os
from pathlib import Path

from revit.errors import InputError


def expanded(path: Path) -> Path:
    """The absolute path that is meant, where `~` stands for a home folder.

    Raises:
        InputError: nobody has such a home folder.
    """
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise InputError(f"{path}: there is no home folder of that name") from error


def check_writable(folder: Path, option: str) -> None:
    """Create the folder where there is none.

    Args:
        option: of the command line, that names another folder.

    Raises:
        InputError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:  # a ValueError is of characters that no path may hold
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{folder} cannot be written: {reason}; name another folder with {option}") from error
