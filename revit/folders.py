"""Whether a folder can be written, asked before anything depends on it."""

import os
from pathlib import Path

from revit.errors import InputError


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
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}; name another folder with {option}") from error
