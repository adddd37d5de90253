"""The command that tries a study before it is paid for."""

import signal
from typing import Annotated

import typer

from study import api
from study.cli.console import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_SOME_FAILED, echo, out
from study.cli.invocation import next_command
from study.cli.options import (
    Address,
    Compiled,
    CpusPerTrial,
    GpusPerTrial,
    StorageAddress,
    StudyOptions,
    echo_store,
    make_request,
    with_study_options,
)
from study.system.signals import handled


@with_study_options
def rehearse(
    context: typer.Context,
    options: StudyOptions,
    gpus_per_trial: GpusPerTrial = None,
    cpus_per_trial: CpusPerTrial = None,
    compiled: Compiled = False,
    address: Address = None,
    storage: StorageAddress = None,
    max_batch: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Largest batch, to try on a CPU."),
    ] = None,
) -> None:
    """Try a few steps of each kind of trial of a study.

    Each kind trains three steps, saves checkpoints, evaluates one batch, writes its files, and resumes from its
    checkpoint. Speed and memory are kept in the store, where `plan` finds them. Nothing counts as a trial.

    Exit code: 0 all passed, 1 some failed, 2 wrong input, 130 interrupted (Ctrl-C, SIGTERM, SIGHUP).
    """
    request = make_request(gpus_per_trial, cpus_per_trial, compiled, address)
    try:
        with handled(signal.default_int_handler):
            has_passed = _rehearse(options, options.folders(storage), request, max_batch)
    except KeyboardInterrupt:
        echo("\ninterrupted; what has passed is kept")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    following = ("plan", "run") if has_passed else ("fetch", "doctor")
    echo("\nNext steps:", *(f"  {next_command(context, command)}" for command in following))
    raise typer.Exit(EXIT_FINISHED if has_passed else EXIT_SOME_FAILED)


def _rehearse(
    options: StudyOptions, folders: "api.Folders", request: api.ResourceRequest, max_batch: int | None
) -> bool:
    """Rehearse the studies whose images and weights are present; return whether every shape of all has passed."""
    spaces = options.load_studies()
    echo_store(folders)
    ledger = api.open_ledger(folders, create=True)
    records = ledger.trials()
    lacking = {space.name: api.find_missing(space, folders) for space in spaces}
    for name, missing in lacking.items():
        echo(*(f"missing for {name}: {requirement.name}: {requirement.advice}" for requirement in missing))
    present = [space for space in spaces if not lacking[space.name]]
    if not present:
        return False
    plans = [api.plan_study(space, folders, records, num_seeds=options.seeds, ledger=ledger) for space in present]
    api.check_can_run(plans, request)
    shapes = api.rehearse_plans(plans, ledger, request, console=out, max_batch=max_batch)
    return not any(lacking.values()) and not any(shape.failure for shape in shapes)
