"""Studies as data: one module per study, each with a `SPACE`. Add a study by adding a module (docs/new_study.md)."""

import difflib
import importlib
import pkgutil

from revit.errors import InputError
from revit.validation import short_repr
from search_spaces.framework.space import SearchSpace


def names() -> list[str]:
    """Return the names of the studies: the modules of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def load(name: str) -> SearchSpace:
    """Return the search space of a study.

    Raises:
        InputError: an unknown study (names the known ones), or its module has no valid space.
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"there is no study {short_repr(name)}{hint} Known: {', '.join(names())}")
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except InputError as error:
        raise InputError(f"search_spaces/{name}.py: {error}") from error
    except Exception as error:  # a module may raise anything
        raise InputError(f"search_spaces/{name}.py cannot be read: {type(error).__name__}: {error}") from error
    space = getattr(module, "SPACE", None)
    if not isinstance(space, SearchSpace):
        raise InputError(f"search_spaces/{name}.py defines no SPACE = SearchSpace(...)")
    if space.name != name:
        raise InputError(f"search_spaces/{name}.py: its SPACE has the name {space.name!r}; must be {name!r}")
    return space
