"""Functions of the user, named by their import path: `package.module:function`.

A function may lie in any module that can be imported: installed, in the file of a study, or beside it.
"""

import ast
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

    It covers the whole module but for its docstring and the assignment of `SPACE`, so that a study can grow without a
    change of the functions in its file. Modules that this one imports are not covered.

    Raises:
        InputError: there is no such module, or it has no source file, or that is not Python.
    """
    source = source_file(path).read_bytes()
    try:
        text = importlib.util.decode_source(source)
        spans = [_span(each) for each in ast.parse(text).body if not _is_of_study(each)]
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    lines = text.split("\n")
    covered = ["\n".join(lines[first:end]) for first, end in spans]
    return hashlib.sha256("\n".join(covered).encode()).hexdigest()[:16]


def import_folder(path: str) -> Path:
    """Return the folder that has to be on `sys.path` so that a function can be imported.

    Raises:
        InputError: there is no such module, or it has no source file.
    """
    file = source_file(path)
    num_packages = path.partition(":")[0].count(".") + (file.stem == "__init__")
    return file.parents[num_packages]


def source_file(path: str) -> Path:
    """Return the source file of a function's module, without importing it.

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
    return Path(spec.origin).absolute()


def _is_of_study(statement: ast.stmt) -> bool:
    """Return whether a statement of a module is a text, as its docstring is, or the assignment of `SPACE`."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == "SPACE" for target in targets)


def _span(statement: ast.stmt) -> tuple[int, int]:
    """Return the first line of a statement, decorators included, counted from 0, and the line after its last."""
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(each.lineno for each in decorators)])
    return first - 1, statement.end_lineno or first
