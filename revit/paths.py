"""Paths that users give: expanded, then checked before anything depends on them."""

import tempfile
from pathlib import Path

from revit.errors import InputError, UnwritableFolderError


def expand_path(path: Path) -> Path:
    """Return the absolute path, with `~` expanded to a home folder. The path need not exist.

    Raises:
        InputError: no such home folder, not a valid path, or no permission to access it.
    """
    try:
        expanded = path.expanduser().absolute()
        expanded.stat()
    except (FileNotFoundError, NotADirectoryError):  # reported where the file is needed
        pass
    except OSError as error:
        raise InputError(f"{path} cannot be used: {error.strerror}") from error
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path} cannot be used: {error}") from error
    return expanded


def check_regular(path: Path) -> None:
    """Raise InputError if a path is a pipe, a device or a folder: reading one may never end."""
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
        tempfile.TemporaryFile(dir=folder).close()  # of its own name: several threads may check the folder
    except (OSError, RecursionError) as error:  # pathlib creates parents by recursion
        reason = error.strerror if isinstance(error, OSError) else "it is nested too deep"
        raise UnwritableFolderError(folder, role, reason or str(error)) from error
