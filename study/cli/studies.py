"""The commands on a study: plan, run, report, fetch."""

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from revit.models.weights import use_weights_dir
from revit.paths import expand_path
from study import api
from study.cli.console import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_SOME_FAILED, echo, out
from study.cli.invocation import next_command, this_command
from study.cli.options import (
    DataFolder,
    Only,
    RecipeName,
    ScaleName,
    Settings,
    StudyName,
    StudyOptions,
    WeightsFolder,
    echo_store,
    with_study_options,
)
from study.execution.resources import ResourceRequest
from study.ledger.states import TrialState
from study.system.signals import handled

if TYPE_CHECKING:
    from study.analysis.verdicts import ClaimVerdict
    from study.execution.recorder import RunResult
    from study.ledger.ledger import Ledger
    from study.ledger.records import TrialRecord
    from study.plan import Plan

StrictEnvironment = Annotated[
    bool,
    typer.Option(
        "--strict-environment",
        help="Refuse a table that mixes devices, precisions, numbers of threads, or versions of torch or timm.",
    ),
]


@with_study_options
def plan(context: typer.Context, options: StudyOptions) -> None:
    """Show every trial of a study and its state; train nothing.

    If a dataset or weights are missing, the trials are shown without their states.
    """
    from study.maintenance.disk_space import disk_line
    from study.maintenance.fetch import find_missing
    from study.model_check import check_models
    from study.plan import is_registered, preview
    from study.report.caveats import plan_caveats
    from study.report.terminal_tables import plan_table, preview_table

    folders = options.folders()
    spaces = options.load_studies()
    echo_store(folders)
    records = api.open_ledger(folders).trials() if folders.has_store else {}
    for space in spaces:
        check_models(space)
        missing = find_missing(space, folders.data) if is_registered(space) else []
        if missing:
            trials = preview(space, api.choose_seeds(space, options.seeds))
            out.print(preview_table(space, trials))
            echo(f"{len(trials)} trials; their states are unknown, as some of what they need is missing:")
            echo(*(f"  {requirement.name}: {requirement.advice}" for requirement in missing))
            echo(f"get it with\n  {next_command(context, 'fetch')}")
            continue
        planned = api.plan(space, folders, num_seeds=options.seeds, records=records)
        out.print(plan_table(planned))
        out.print(f"{len(planned.trials)} trials, {len(planned.to_run)} to run")
        if planned.to_run:
            configs = [trial.candidate.config for trial in planned.to_run]
            echo(disk_line(configs, planned.trials[0].candidate.config.seed))
        echo(*plan_caveats(planned))


@with_study_options
def run(
    context: typer.Context,
    options: StudyOptions,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="GPUs per trial; .5 lets two trials share one. [default: 1 if a GPU is visible, else 0]"
        ),
    ] = None,
    cpus_per_trial: Annotated[
        int | None, typer.Option(min=1, help="CPU threads per trial. [default: 1, or a GPU's part of the CPUs]")
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Use torch.compile, for long trials on GPUs: numbers differ by rounding."),
    ] = False,
    strict_environment: StrictEnvironment = False,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Join this Ray cluster. [default: start Ray on this machine]"),
    ] = None,
) -> None:
    """Train the trials of a study that are not done; show its table.

    The same command resumes a study that was interrupted, and trains only what was added to it since. A trial of
    several studies is trained once.

    Exit code: 0 all finished, 1 some failed, 2 wrong input, 130 interrupted (Ctrl-C, SIGTERM, SIGHUP).
    """
    request = ResourceRequest(
        cpus_per_trial=cpus_per_trial, gpus_per_trial=gpus_per_trial, compiled=compiled, address=address
    )
    try:
        with handled(signal.default_int_handler):
            code = _run(context, options, request, strict_environment)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:
        echo(f"\ninterrupted; resume with\n  {this_command(context)}")
    else:
        echo(f"\nNext steps:\n  {next_command(context, 'ui')}\n  {next_command(context, 'report')}")
    raise typer.Exit(code)


def _run(context: typer.Context, options: StudyOptions, request: ResourceRequest, strict_environment: bool) -> int:
    """Run the studies one after the other, once all are known to be able to start."""
    folders = options.folders()
    if request.compiled:  # trials share what is compiled, and so do later commands
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folders.cache / "compiled"))
    spaces = options.load_studies()
    echo_store(folders)
    ledger = api.open_ledger(folders, create=True)
    records = ledger.trials()
    plans = [api.plan(space, folders, num_seeds=options.seeds, records=records) for space in spaces]
    api.check_can_run(plans, request, strict_environment=strict_environment)
    code = EXIT_FINISHED
    for number, planned in enumerate(plans, start=1):
        if len(plans) > 1:
            echo(f"\nstudy {number} of {len(plans)}")
        result = api.run(planned.with_records(records), ledger, request, console=out, command=this_command(context))
        if planned.to_run:
            records = ledger.retry(ledger.trials, log=echo)
        planned = planned.with_records(records)
        _echo_failures(planned, ledger, result)
        _echo_results(planned, ledger, records)
        if result.interrupted:
            return EXIT_INTERRUPTED
        code = max(code, EXIT_SOME_FAILED if planned.to_run else EXIT_FINISHED)
    return code


@with_study_options
def report(
    context: typer.Context,
    options: StudyOptions,
    strict_environment: StrictEnvironment = False,
    reports: Annotated[
        Path, typer.Option(help="Folder to write to, with a subfolder per study, recipe and scale.")
    ] = Path("reports"),
) -> None:
    """Show a study's table; write its report to a folder.

    Each study, recipe and scale has a folder of its own in reports/. There, report.html is one page that opens without
    network: the table beside published numbers, claims, figures. Beside it are report.json with the verdicts, tables.md
    and tables.tex, cells.csv, trials.parquet, and figures/ with each figure as JSON. All are kept in MLflow, too, with
    the study's last launch. reports/index.html lists all reports.
    A report is not overwritten if it has results that this store lacks.

    Exit code: 0 written, 1 an earlier report was kept, 2 wrong input.
    """
    from study.analysis.mixed_environments import check_uniform
    from study.report.report_folder import ReportKeptError
    from study.report.writer import write_index

    folders = options.folders()
    spaces = options.load_studies()
    ledger = api.open_ledger(folders)
    echo_store(folders)
    records = ledger.trials()
    code = EXIT_FINISHED
    for space in spaces:
        planned = api.plan(space, folders, num_seeds=options.seeds, records=records, for_report=True)
        if strict_environment:
            check_uniform(planned)
        verdicts = _echo_results(planned, ledger, records)
        study = space.name if options.study == api.ALL else options.study
        command = next_command(context, "run", study=study)
        try:
            *paths, _ = api.report(planned, ledger, expand_path(reports), command=command, verdicts=verdicts)
            echo(*(f"wrote {path}" for path in paths))
        except ReportKeptError as error:
            echo(str(error))
            code = EXIT_SOME_FAILED
    echo(f"wrote {write_index(expand_path(reports))}")
    raise typer.Exit(code)


def fetch(
    study: StudyName,
    scale: ScaleName = None,
    recipe: RecipeName = None,
    settings: Settings = None,
    only: Only = None,
    data_dir: DataFolder = api.DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
) -> None:
    """Download the datasets and weights that a study needs.

    `run` downloads nothing: nodes with GPUs are often offline.

    Exit code: 0 everything is present, 1 something is missing (its manual download is shown).
    """
    spaces = api.load_studies(study, scale=scale, recipe=recipe, settings=settings or (), only=only or ())
    use_weights_dir(weights_dir)
    is_complete = all(each.is_present for each in api.fetch(spaces, data_dir, console=out))
    raise typer.Exit(EXIT_FINISHED if is_complete else EXIT_SOME_FAILED)


def _echo_failures(planned: "Plan", ledger: "Ledger", result: "RunResult") -> None:
    from study.labels import trial_label
    from study.layout import TRACEBACK

    trials = {trial.identity: trial for trial in planned.trials}
    for identity, message in result.messages.items():
        trial, state = trials[identity], result.states[identity]
        echo(f"{state}: {trial_label(trial)}: {message}")
        if state == TrialState.FAILED and trial.record is not None and trial.record.failure:
            echo(f"  {trial.missing}; {ledger.artifacts.address(trial.record.run_id, TRACEBACK)}")
    if result.stop_reason:
        echo(result.stop_reason)


def _echo_results(planned: "Plan", ledger: "Ledger", records: "Mapping[str, TrialRecord]") -> "list[ClaimVerdict]":
    """Print a study's table, its caveats, the verdicts on its claims; return the verdicts."""
    from study.analysis.verdicts import claim_verdicts
    from study.report.caveats import plan_caveats
    from study.report.claim_list import to_lines
    from study.report.terminal_tables import terminal_table

    out.print()
    out.print(terminal_table(planned))
    echo(*plan_caveats(planned))
    verdicts = claim_verdicts(planned, records, ledger.artifacts.read_correct)
    echo(*to_lines(verdicts))
    return verdicts
