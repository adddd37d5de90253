"""The program: which commands there are, and how it ends."""

import atexit
import gc
import io
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from revit.errors import InputError, first_line
from revit.identity import TRAINING_VERSION
from study.advice import with_advice
from study.cli.console import EXIT_SOME_FAILED, EXIT_WRONG_INPUT, echo_error, err
from study.cli.listing import axes, list_studies, models
from study.cli.stores import doctor, prune, ui
from study.cli.studies import fetch, plan, report, run
from study.system.streams import make_lossy

COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_studies,
    "models": models,
    "axes": axes,
    "plan": plan,
    "fetch": fetch,
    "run": run,
    "report": report,
    "ui": ui,
    "doctor": doctor,
    "prune": prune,
}

EXAMPLES: dict[str, tuple[str, ...]] = {
    "list": ("python run_study.py list",),
    "models": ("python run_study.py models",),
    "axes": ("python run_study.py axes",),
    "plan": (
        "python run_study.py plan quickstart",
        "python run_study.py plan resolution --recipe authors",
    ),
    "fetch": (
        "python run_study.py fetch resolution",
        "python run_study.py fetch all --data-dir /data",
    ),
    "run": (
        "python run_study.py run quickstart",
        "python run_study.py run all --scale nano --seeds 3",
        "python run_study.py run resolution --gpus-per-trial .5",
    ),
    "report": (
        "python run_study.py report quickstart",
        "python run_study.py report all --scale nano --reports /tmp/reports",
    ),
    "ui": ("python run_study.py ui --port 5001",),
    "doctor": ("python run_study.py doctor --fix",),
    "prune": (
        "python run_study.py prune",
        "python run_study.py prune quickstart --yes",
    ),
}
"""By command, what its help shows."""

GC_THRESHOLDS = 100_000, 50, 100
"""Of Python's garbage collector: modules and results are many objects that stay, which it would look through again and
again. At its own 700, 10, 10 the report of 1,000 trials takes a quarter longer."""

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Fine-tuning studies of vision transformers: name a question, run every trial, read the answer.",
)
for name, command in COMMANDS.items():
    app.command(name, epilog="\n".join(["\b", "Examples:", *(f"  {line}" for line in EXAMPLES[name])]))(command)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"revit-study {version('revit-study')}, training version {TRAINING_VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line; every wrong input is one line and exit code 2. What cannot be printed is dropped."""
    gc.set_threshold(*GC_THRESHOLDS)
    atexit.register(gc.freeze)  # else Python looks through all objects once more while it ends: .4 s of a `plan`'s 1.9
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name of a file may be no text
    make_lossy()
    try:
        app()
    except InputError as error:
        echo_error(with_advice(error))
        sys.exit(EXIT_WRONG_INPUT)
    except Exception as error:
        if not _is_transient(error):
            raise
        echo_error(f"a disk or server does not serve for now: {first_line(error)}")
        err.print("nothing is lost: give the same command again later")
        sys.exit(EXIT_SOME_FAILED)


def _is_transient(error: Exception) -> bool:
    if "study.ledger.ledger" not in sys.modules:
        return False
    from study.ledger.ledger import is_transient

    return is_transient(error)
