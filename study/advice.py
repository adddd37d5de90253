"""The command or option that helps with an input error. `revit` knows neither."""

from revit.errors import BrokenImagesError, InputError, MissingInputError, UnwritableFolderError

FOLDER_OPTIONS = {"store": "--store", "cache": "--cache-dir", "reports": "--reports"}
"""Option that names another folder, by the role of a folder."""


def with_advice(error: InputError) -> str:
    """Return an error's message, with what to do about it where a command or an option helps."""
    match error:
        case UnwritableFolderError():
            advice = f"name another folder with {FOLDER_OPTIONS[error.role]}"
        case BrokenImagesError():
            advice = "leave them out with --skip-broken"
        case MissingInputError():
            ways = ["get it with `run_study.py fetch`"] if error.is_fetchable else []
            if error.kind == "weights":
                ways += ["name a folder of weights with --weights-dir", "set model.pretrained to False"]
            advice = ", or ".join(ways)
        case _:
            advice = ""
    return f"{error}; {advice}" if advice else str(error)
