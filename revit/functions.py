"""Functions of the user, named by their import path: `package.module:function`."""

import hashlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from revit.errors import InputError

_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_import_path(name: str) -> bool:
    """Return whether a name has the form of an import path."""
    return _PATH.fullmatch(name) is not None


def load_function(path: str) -> Callable[..., Any]:
    """Import a function.

    Raises:
        InputError: its module cannot be imported, or has no such function.
    """
    try:
        function = pkgutil.resolve_name(path)
    except Exception as error:  # a module may raise anything
        raise InputError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise InputError(f"{path} is not a function")
    return function  # type: ignore[no-any-return]  # any callable


def source_digest(path: str) -> str:
    """Return the digest of the source of a function's module, without importing it: 16 hexadecimal digits.

    Raises:
        InputError: there is no such module, or it has no source file.
    """
    name = path.partition(":")[0]
    try:
        spec = importlib.util.find_spec(name)
    except Exception as error:  # the packages above it are imported, and may raise anything
        raise InputError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise InputError(f"{path} cannot be imported: there is no file of a module {name}")
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()[:16]
