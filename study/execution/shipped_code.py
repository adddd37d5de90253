"""The code that a driver ships to the nodes of a cluster, so that all run what it runs."""

import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import revit
import search_spaces
import study
from revit.functions import import_folder, is_import_path, load_function
from revit.identity import function_names
from search_spaces.framework.axes import levels_of
from study.plan import Plan

PACKAGES = (revit, search_spaces, study)
"""Packages that a worker imports, with the files of these packages: shipped weights, published numbers."""

INSTALLED = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
"""Folders of what is installed: each node has its own."""


@contextmanager
def staged_code(functions: Iterable[str]) -> Iterator[Path]:
    """Gather the code in a temporary folder: a working_dir for Ray's runtime_env.

    On `sys.path` of a worker, a working_dir comes first. Ray's py_modules come after the driver's folders, in which
    another node may have another version.

    Args:
        functions: import paths of the user's functions. Their modules are shipped, and what these import beside them,
            but for what is installed.

    Yields:
        The folder, for as long as the context is active.

    Raises:
        InputError: a function cannot be imported.
    """
    with TemporaryDirectory(prefix="revit-code-") as name:
        folder = Path(name)
        for package in PACKAGES:
            source = Path(package.__file__ or "").parent
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        for root, path in find_modules(functions):
            target = folder / path.relative_to(root)
            if not target.exists():  # a function may lie in one of the packages
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        yield folder


def functions_of(plans: Iterable[Plan]) -> set[str]:
    """Return the import paths of the user's functions that trials of plans name, those of points to come included."""
    configs = [trial.candidate.config for plan in plans for trial in plan.to_check]
    axes = [each for plan in plans for each in plan.space.nuisance_axes.items()]
    values = [value for axis in axes for _, fields in levels_of(*axis) for value in fields.values()]
    searched = {value for value in values if isinstance(value, str) and is_import_path(value)}
    return searched.union(*(function_names(config).values() for config in configs))


def find_modules(functions: Iterable[str]) -> set[tuple[Path, Path]]:
    """Import functions of the user; return the source files of their modules and of those that lie beside them.

    Returns:
        Pairs of the folder on `sys.path` and the file.

    Raises:
        InputError: a function cannot be imported.
    """
    roots = set()
    for function in functions:
        load_function(function)
        roots.add(import_folder(function))
    return {(root, path) for root in roots for path in _imported_from(root)}


def _imported_from(root: Path) -> Iterator[Path]:
    """Yield the source files in a folder of `sys.path` that this process has imported, but for what is installed."""
    for module in list(sys.modules.values()):
        path = Path(getattr(module, "__file__", None) or "")
        is_installed = any(path.is_relative_to(folder) for folder in INSTALLED)
        if path.suffix == ".py" and path.is_relative_to(root) and not is_installed:
            yield path
