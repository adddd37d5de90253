"""The command that opens optuna-dashboard."""

import signal
from typing import Annotated

import typer

from revit.errors import InputError
from study import api
from study.cli.console import echo
from study.cli.options import StudyOptions, echo_store, with_study_options
from study.system.signals import handled


@with_study_options
def dashboard(
    context: typer.Context,  # noqa: ARG001  (of every command with the options of a study)
    options: StudyOptions,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 0,
) -> None:
    """Serve optuna-dashboard on a study's searches, until Ctrl-C.

    It has an Optuna study per cell, which follows the search while it runs: importances, slices, Pareto fronts. It
    shows a copy: what is changed there changes no result.
    """
    folders = options.folders()
    [space, *others] = options.load_studies()
    if others:
        raise InputError(f"STUDY = {options.study!r}: a dashboard shows one study: name one")
    ledger = api.open_ledger(folders)
    echo_store(folders)
    planned = api.plan_study(space, folders, ledger.trials(), num_seeds=options.seeds, for_report=True, ledger=ledger)
    try:
        with handled(signal.default_int_handler):
            api.serve_dashboard(planned, ledger, echo, port)
    except KeyboardInterrupt:
        echo("ended")
