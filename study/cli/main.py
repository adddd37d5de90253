"""The program: a table of commands."""

import atexit
import gc
import io
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from revit.errors import InputError, first_line
from revit.identity import TRAINING_VERSION
from study import api
from study.advice import with_advice
from study.cli.comparing import compare
from study.cli.console import EXIT_SOME_FAILED, EXIT_WRONG_INPUT, echo_error, err
from study.cli.dashboard import dashboard
from study.cli.exporting import export
from study.cli.invocation import next_command
from study.cli.listing import axes, list_studies, models
from study.cli.merge_command import merge
from study.cli.plan_command import plan
from study.cli.predicting import predict
from study.cli.rehearsing import rehearse
from study.cli.stores import doctor, prune, ui
from study.cli.studies import fetch, report, run
from study.cli.verifying import verify
from study.cli.watching import status, watch
from study.system.streams import make_lossy

COMMANDS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "list": (list_studies, ("list", "list path/to/my_study.py")),
    "models": (models, ("models",)),
    "axes": (axes, ("axes", "axes dropout")),
    "plan": (plan, ("plan quickstart", "plan all --gpus 8 --gpu h100 --price-per-hour 3")),
    "rehearse": (rehearse, ("rehearse quickstart", "rehearse resolution --gpus-per-trial auto")),
    "fetch": (fetch, ("fetch resolution", "fetch all --data-dir /data")),
    "run": (run, ("run quickstart", "run all --scale nano --seeds 3 --gpus-per-trial .5")),
    "watch": (watch, ("watch quickstart", "watch all --scale nano --store http://127.0.0.1:5000")),
    "status": (status, ("status quickstart", "status quickstart --json")),
    "report": (report, ("report quickstart", "report all --scale nano --reports /tmp/reports")),
    "export": (
        export,
        ("export path/to/my_study.py --to /tmp/model", "export my_study.py --cell lr=0.1 --seed best --to /tmp/m"),
    ),
    "compare": (compare, ("compare quickstart --before 2026-11-01", "compare resolution --other-recipe authors")),
    "predict": (predict, ("predict my_model photos/", "predict my_model photos/ --to predictions.csv")),
    "verify": (verify, ("verify quickstart", "verify all --scale nano --reports /tmp/reports")),
    "dashboard": (dashboard, ("dashboard path/to/my_study.py", "dashboard replication --recipe vit_2021")),
    "ui": (ui, ("ui quickstart", "ui --port 5001")),
    "doctor": (doctor, ("doctor --fix",)),
    "merge": (merge, ("merge /data/other/mlruns", "merge /data/other/mlruns --store http://host:5000 --yes")),
    "prune": (prune, ("prune", "prune quickstart --yes")),
}
"""Each command, with the example lines of its help."""

GC_THRESHOLDS = 100_000, 50, 100
"""Python's default of 700, 10, 10 makes a report of 1,000 trials a quarter slower: long-lived objects make collections
costly."""


class AdvisedCommand(TyperCommand):
    """A command whose input errors end with what to do about them."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            advised = with_advice(error, partial(next_command, ctx), ctx.info_name, has_nano=_has_nano(ctx.params))
            raise InputError(advised) from error


def _has_nano(params: dict[str, Any]) -> bool:
    """Return whether a command's study has a nano scale, and none was given."""
    if params.get("scale") is not None or not params.get("study"):
        return False
    try:
        return bool(api.load_studies(params["study"], scale="nano"))
    except InputError:
        return False


app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Fine-tuning studies of vision transformers: name a question, run every trial, read the answer.",
    epilog="A study sets what no option sets. Environment variables set the folders: REVIT_STORE, REVIT_STORAGE, "
    "REVIT_DATA_DIR, REVIT_WEIGHTS_DIR, REVIT_CACHE_DIR.",
)
for name, (command, examples) in COMMANDS.items():
    lines = (f"  python run_study.py {line}" for line in examples)
    app.command(name, cls=AdvisedCommand, epilog="\n".join(["\b", "Examples:", *lines]))(command)


def _show_version(is_requested: bool) -> None:
    if is_requested:
        print(f"revit-study {version('revit-study')}, training version {TRAINING_VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Parse the options that precede a command."""


def main() -> None:
    """Run the command line. Wrong input is one line with exit code 2; output that cannot be printed is dropped."""
    gc.set_threshold(*GC_THRESHOLDS)
    atexit.register(gc.freeze)  # skips the collection at exit: .4 s of the 1.9 of `plan`
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may not be valid text
    make_lossy()
    try:
        app(prog_name=f"python {sys.argv[0]}" if sys.argv[0].endswith(".py") else None)
    except InputError as error:
        echo_error(str(error))
        sys.exit(EXIT_WRONG_INPUT)
    except Exception as error:
        if not api.is_transient(error):
            raise
        echo_error(f"storage temporarily unavailable: {first_line(error)}")
        err.print("nothing is lost: repeat the command later")
        sys.exit(EXIT_SOME_FAILED)
