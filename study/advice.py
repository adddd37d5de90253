"""The command or option that helps with an input error. `revit` knows neither."""

from collections.abc import Callable

from revit.errors import BrokenImagesError, InputError, MissingInputError, UnknownFieldError, UnwritableFolderError
from search_spaces import UnknownStudyError
from search_spaces.framework.space import NoRecipeError

FOLDER_OPTIONS = {"store": "--store", "cache": "--cache-dir", "reports": "--reports"}
"""Option that names another folder, by the role of a folder."""


class MissingStoreError(InputError):
    """A store has no results yet."""


class MissingModelError(InputError):
    """A trial has no model yet: it has not finished."""


def with_advice(
    error: InputError,
    command: Callable[..., str] = "run_study.py {}".format,
    name: str = "run",
    *,
    has_nano: bool = False,
) -> str:
    """Return an error's message, with what to do about it where a command or an option helps.

    Args:
        command: returns the command line of a command; values replace those that were given, None leaves one out.
        name: the command that met the error.
        has_nano: the study has a nano scale, which was not asked for.
    """
    match error:
        case UnwritableFolderError():
            advice = f"name another folder with {FOLDER_OPTIONS[error.role]}"
        case BrokenImagesError():
            advice = "leave them out with --skip-broken"
        case MissingStoreError():
            advice = f"run a study first, `{command('run')}`, or name another store with --store"
        case MissingModelError():
            advice = f"train it with `{command('run')}`"
        case UnknownStudyError():
            meant = {"study": error.closest, "studies": [error.closest]}
            advice = f"try `{command(name, **meant)}`" if error.closest else f"see `{command('list')}`"
        case UnknownFieldError():
            advice = f"see `{command('axes')}`"
        case NoRecipeError():
            advice = f"leave them out: `{command(name, scale=None, recipe=None)}`"
        case MissingInputError():
            ways = [f"get it with `{command('fetch')}`"] if error.is_fetchable else []
            if error.kind == "weights":
                ways += ["name a folder of weights with --weights-dir", "set model.pretrained to False"]
            ways += (
                [f"take small models and images, which are here, with `{command(name, scale='nano')}`"]
                if has_nano
                else []
            )
            advice = ", or ".join(ways)
        case _:
            advice = ""
    return f"{error}; {advice}" if advice else str(error)
