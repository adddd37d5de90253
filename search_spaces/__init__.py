"""Studies as data: one module per study, each with a `SPACE`.

A study is in this package, in the folder of its paper (docs/papers.md), or in any file (docs/new_study.md).
"""

import difflib
import importlib
import keyword
import os
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from revit.errors import InputError
from revit.paths import expand_path
from revit.validation import short_repr
from search_spaces.framework.space import SearchSpace

PACKAGE = Path(__file__).parent
_folders: list[str] = []
"""Entries of `sys.path` for the files of studies outside of this package."""


class UnknownStudyError(InputError):
    """No study has this name.

    Args:
        closest: the study that was probably meant.
    """

    def __init__(self, message: str, closest: str | None) -> None:
        self.closest = closest
        super().__init__(message)


def names() -> list[str]:
    """Return the names of the studies of this package: its modules, and those in folders of papers."""
    return sorted(name for folder in ("", *folders()) for name in names_in(folder))


def names_in(folder: str = "") -> list[str]:
    """Return the names of the studies in the folder of a paper; without its name, of those in no folder."""
    return sorted(each.name for each in pkgutil.iter_modules([str(PACKAGE / folder)]) if not each.ispkg)


def folders() -> list[str]:
    """Return the names of the folders of papers, each a package of studies."""
    return sorted(each.name for each in pkgutil.iter_modules(__path__) if each.ispkg and each.name != "framework")


def file_of(name: str) -> Path:
    """Return the file of a study of this package."""
    return next(PACKAGE / folder / f"{name}.py" for folder in ("", *folders()) if name in names_in(folder))


def is_file(study: str) -> bool:
    """Return whether a study is given by the path of its file, not by its name."""
    return study.endswith(".py") or os.sep in study


def name_of(study: str) -> str:
    """Return the name of a study that is given by its name or its file."""
    return Path(study).stem if is_file(study) else study


def load(study: str) -> SearchSpace:
    """Return the search space of a study.

    Args:
        study: name of a study of this package, or path of a file anywhere. The folder of the file is put at the end of
            `sys.path`, so that its functions and the modules beside it can be imported.

    Raises:
        InputError: an unknown study (names the known ones), or its module has no valid space.
    """
    if is_file(study):
        return _load_file(study, expand_path(Path(study)))
    if study not in names():
        close = [f"{study}.py"] if _is_there(Path(f"{study}.py")) else difflib.get_close_matches(study, names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else "."
        message = f"there is no study {short_repr(study)}{hint} Known: {', '.join(names())}"
        raise UnknownStudyError(message, closest=close[0] if close else None)
    file = file_of(study).relative_to(PACKAGE.parent)
    return _space_of(str(file), study, lambda: importlib.import_module(".".join(file.with_suffix("").parts)))


def _load_file(shown: str, path: Path) -> SearchSpace:
    """Return the search space of a file; the name of one in this package is free only for the same space."""
    name = path.stem
    if path.suffix != ".py" or not _is_there(path):
        raise InputError(f"{shown} is not a Python file")
    if name in names() and path.samefile(file_of(name)):
        return load(name)
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f"{shown}: the name of a study's file must be letters, digits and _, as of every module")
    _make_importable(shown, path)
    space = _space_of(shown, name, lambda: _execute(path))
    if name in names() and not _is_same(space, load(name)):
        raise InputError(f"{shown}: search_spaces has another study {name}; rename the file, and its SPACE")
    return space


def _is_there(path: Path) -> bool:
    """Return whether a file exists; False for a name that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def _make_importable(shown: str, path: Path) -> None:
    """Put the folder of a file at the end of `sys.path`, and check that its module is found there.

    Raises:
        InputError: another module has its name.
    """
    for folder in [each for each in _folders if Path(each, path.name).exists()]:  # of an earlier study of that name
        _folders.remove(folder)
        sys.path.remove(folder)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
        _folders.append(str(path.parent))
    importlib.invalidate_caches()
    found = PathFinder.find_spec(path.stem)
    is_own = found is not None and found.origin is not None and Path(found.origin).samefile(path)
    if path.stem in sys.builtin_module_names or not is_own:
        raise InputError(f"{shown}: there is another module {path.stem}; rename the file, and its SPACE")


def _execute(path: Path) -> ModuleType:
    """Import a file as a module, also where it has been imported before it was changed."""
    module = ModuleType(path.stem)
    module.__file__, module.__spec__ = str(path), PathFinder.find_spec(path.stem)
    sys.modules[path.stem] = module
    exec(compile(path.read_bytes(), path, "exec"), module.__dict__)
    return module


def _space_of(file: str, name: str, imported: Callable[[], ModuleType]) -> SearchSpace:
    """Return the space of a module, with errors that name its file."""
    try:
        space = getattr(imported(), "SPACE", None)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    except (Exception, SystemExit) as error:  # a module may raise anything
        raise InputError(f"{file} cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(space, SearchSpace):
        raise InputError(f"{file} defines no SPACE = SearchSpace(...)")
    if space.name != name:
        raise InputError(f"{file}: its SPACE has the name {space.name!r}; must be {name!r}")
    return space


def _is_same(one: SearchSpace, other: SearchSpace) -> bool:
    """Return whether two spaces are equal; constraints are if they leave out the same points."""
    same_points = one.candidates(one.seeds) == other.candidates(other.seeds)
    return replace(one, constraint=None) == replace(other, constraint=None) and same_points
