"""The commands on a study: plan, run, report, fetch."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from revit.datasets.registry import caveats
from revit.errors import InputError
from revit.models.weights import use_weights_dir
from revit.paths import check_writable, expand_path
from study.cli.console import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_SOME_FAILED, echo, out
from study.cli.invocation import next_command, this_command
from study.cli.options import (
    DEFAULT_CACHE,
    DEFAULT_DATA,
    DEFAULT_STORE,
    CacheFolder,
    DataFolder,
    RecipeName,
    ScaleName,
    Seeds,
    SkipBroken,
    StoreAddress,
    StudyName,
    WeightsFolder,
    echo_store,
    folders_of,
    seeds_of,
    spaces_of,
)
from study.execution.resources import ResourceRequest
from study.ledger.states import TrialState
from study.system.signals import handled

if TYPE_CHECKING:
    from search_spaces.framework.space import SearchSpace
    from study.analysis.verdicts import ClaimVerdict
    from study.execution.runner import RunResult
    from study.ledger.ledger import Ledger
    from study.ledger.records import TrialRecord
    from study.plan import Folders, Plan, Trial


StrictEnvironment = Annotated[
    bool,
    typer.Option(
        "--strict-environment",
        help="Refuse a table that mixes devices, precisions, numbers of threads, or versions of torch or timm.",
    ),
]


def plan(
    context: typer.Context,
    study: StudyName,
    seeds: Seeds = None,
    scale: ScaleName = None,
    recipe: RecipeName = None,
    store: StoreAddress = DEFAULT_STORE,
    data_dir: DataFolder = DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
    cache_dir: CacheFolder = DEFAULT_CACHE,
    skip_broken: SkipBroken = False,
) -> None:
    """Show every trial of a study and its state; train nothing.

    Where a dataset or weights are not here yet, it shows the trials all the same, and what `fetch` has to get.
    """
    from study.maintenance.disk_space import disk_line, image_lines
    from study.maintenance.fetch import find_missing
    from study.model_check import check_models
    from study.plan import is_registered, make_plan, outline
    from study.report.caveats import space_caveats
    from study.report.terminal_tables import outline_table, plan_table

    folders = folders_of(store, data_dir, weights_dir, cache_dir, skip_broken=skip_broken)
    spaces = spaces_of(study, scale, recipe)
    echo_store(folders)
    records = _ledger(folders).trials() if folders.has_store else {}
    for space in spaces:
        check_models(space)
        missing = find_missing(space, folders.data) if is_registered(space) else []
        if missing:
            trials = outline(space, seeds_of(space, seeds))
            out.print(outline_table(space, trials))
            echo(disk_line((trial.candidate.config for trial in trials), trials[0].candidate.config.seed))
            echo(f"{len(trials)} trials; whether they are done is not known, as not all they need is here:")
            for requirement in missing:
                echo(f"  {requirement.name}: {requirement.advice}")
            echo(f"get it with\n  {next_command(context, 'fetch')}")
            datasets = dict.fromkeys(trial.candidate.config.dataset for trial in trials)
            for line in (*space_caveats(space), *caveats(datasets)):
                echo(line)
            continue
        for line in image_lines(space, folders):
            echo(line)
        planned = make_plan(space, seeds_of(space, seeds), folders, records)
        out.print(plan_table(planned))
        out.print(f"{len(planned.trials)} trials, {len(planned.to_run)} to run")
        if planned.to_run:
            configs = [trial.candidate.config for trial in planned.to_run]
            echo(disk_line(configs, planned.trials[0].candidate.config.seed))
        _tell_notes(planned)


def run(
    context: typer.Context,
    study: StudyName,
    seeds: Seeds = None,
    scale: ScaleName = None,
    recipe: RecipeName = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="GPUs of one trial, at most 1; .5 lets two share one. [default: 1, or 0]"),
    ] = None,
    cpus_per_trial: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of one trial. [default: 1, or a GPU's share]")
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Use torch.compile, for long trials on GPUs: numbers differ by rounding."),
    ] = False,
    strict_environment: StrictEnvironment = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Join this Ray cluster. [default: start a Ray of one's own on this machine]"
        ),
    ] = None,
    store: StoreAddress = DEFAULT_STORE,
    data_dir: DataFolder = DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
    cache_dir: CacheFolder = DEFAULT_CACHE,
    skip_broken: SkipBroken = False,
) -> None:
    """Train the trials of a study that are not done; show its table.

    The same command resumes a study that was interrupted, and trains only what was added to it since. A trial that
    several studies ask for is trained once.

    Exit code: 0 all finished, 1 some failed, 2 wrong input, 130 interrupted (Ctrl-C, SIGTERM, SIGHUP).
    """
    folders = folders_of(store, data_dir, weights_dir, cache_dir, skip_broken=skip_broken)
    request = ResourceRequest(
        cpus_per_trial=cpus_per_trial, gpus_per_trial=gpus_per_trial, compiled=compiled, address=address
    )
    if compiled:  # trials share what is compiled, and so do later commands
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folders.cache / "compiled"))
    try:
        with handled(signal.default_int_handler):
            code = _run(context, spaces_of(study, scale, recipe), seeds, folders, request, strict_environment)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:
        echo(f"\ninterrupted; go on with\n  {this_command(context)}")
    else:
        echo(f"\nlook closer:\n  {next_command(context, 'ui')}\n  {next_command(context, 'report')}")
    raise typer.Exit(code)


def report(
    context: typer.Context,
    study: StudyName,
    seeds: Seeds = None,
    scale: ScaleName = None,
    recipe: RecipeName = None,
    store: StoreAddress = DEFAULT_STORE,
    data_dir: DataFolder = DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
    cache_dir: CacheFolder = DEFAULT_CACHE,
    skip_broken: SkipBroken = False,
    strict_environment: StrictEnvironment = False,
    reports: Annotated[
        Path, typer.Option(help="Folder to write to; inside, one for each study, recipe and scale.")
    ] = Path("reports"),
) -> None:
    """Show a study's table, and write what it found to a folder.

    The folder is in reports/, one for each study, recipe and scale. In it, report.html is one page that opens without
    network: the table beside published numbers, claims, figures. Beside it are report.json with the verdicts, tables.md
    and tables.tex, cells.csv, trials.parquet, and figures/ with each figure as JSON; all are kept in MLflow, too, with
    the study's last launch. reports/index.html lists all reports.
    A report whose results this store does not have, or has no more, is kept.

    Exit code: 0 written, 1 an earlier report was kept, 2 wrong input.
    """
    from study.analysis.mixed_environments import check_uniform
    from study.plan import make_plan
    from study.report.page import write_report
    from study.report.report_folder import ReportKeptError, folder_name, write_index

    folders = folders_of(store, data_dir, weights_dir, cache_dir, skip_broken=skip_broken)
    spaces = spaces_of(study, scale, recipe)
    if not folders.has_store:
        raise InputError(f"there is no store at {folders.store}: run a study first, or name another with --store")
    echo_store(folders)
    ledger = _ledger(folders)
    records = ledger.trials()
    code = EXIT_FINISHED
    for space in spaces:
        with _naming_all_missing(context, [space], folders):
            planned = make_plan(space, seeds_of(space, seeds), folders, records, for_report=True)
        if strict_environment:
            check_uniform(planned)
        judged = _print_answer(planned, ledger, records)
        command = next_command(context, "run", study=space.name)
        try:
            for path in write_report(planned, ledger, expand_path(reports) / folder_name(planned), command, judged):
                echo(f"wrote {path}")
        except ReportKeptError as error:
            echo(str(error))
            code = EXIT_SOME_FAILED
    echo(f"wrote {write_index(expand_path(reports))}")
    raise typer.Exit(code)


def fetch(
    study: StudyName,
    scale: ScaleName = None,
    recipe: RecipeName = None,
    data_dir: DataFolder = DEFAULT_DATA,
    weights_dir: WeightsFolder = None,
) -> None:
    """Download the datasets and weights that a study needs.

    `run` downloads nothing: nodes with GPUs are often offline.

    Exit code: 0 all is here, 1 something could not be fetched (it says where to get it and where to put it).
    """
    spaces = spaces_of(study, scale, recipe)
    from study.maintenance import fetch as fetching

    use_weights_dir(weights_dir)
    num_missing = 0
    for each in fetching.fetch(spaces, expand_path(data_dir), out):
        state = "present" if each.is_present else "missing"
        echo(f"{state}  {each.name}" + (f"\n  {each.advice}" if each.advice else ""))
        num_missing += not each.is_present
    raise typer.Exit(EXIT_SOME_FAILED if num_missing else EXIT_FINISHED)


def _run(
    context: typer.Context,
    spaces: "list[SearchSpace]",
    seeds: int | None,
    folders: "Folders",
    request: ResourceRequest,
    strict_environment: bool,
) -> int:
    """Run one study after the other, once all of them are known to be able to start."""
    from study.plan import make_plan

    echo_store(folders)
    check_writable(folders.store, "store")
    ledger = _ledger(folders)
    records = ledger.trials()
    with _naming_all_missing(context, spaces, folders):
        plans = [make_plan(space, seeds_of(space, seeds), folders, records) for space in spaces]
    todo = [trial for planned in plans for trial in planned.to_run]
    if strict_environment:
        from study.analysis.mixed_environments import check_uniform
        from study.execution.environment import expected

        here = expected(request)
        for planned in plans:
            check_uniform(planned, here if planned.to_run else None)
    if todo:
        from study.execution.runner import check_runnable

        check_runnable(todo, request)
    code = EXIT_FINISHED
    for number, planned in enumerate(plans, start=1):
        if todo:
            records = ledger.retry(ledger.trials, log=echo)
        if len(plans) > 1:
            echo(f"\nstudy {number} of {len(plans)}, {_progress(todo, records)}")
        code = max(code, _run_one(planned.with_records(records), ledger, records, request, this_command(context)))
        if code == EXIT_INTERRUPTED:
            break
    return code


@contextmanager
def _naming_all_missing(context: typer.Context, spaces: "list[SearchSpace]", folders: "Folders") -> Iterator[None]:
    """Where a plan fails as something is not here, name all that is not, and the command that gets it."""
    from study.maintenance.fetch import find_missing

    try:
        yield
    except InputError as error:
        missing = {each.name: each for space in spaces for each in find_missing(space, folders.data)}
        if not missing or not all(each.is_fetchable for each in missing.values()):
            raise
        advice = f"get it with `{next_command(context, 'fetch')}`"
        raise InputError(f"not all that is needed is here: {', '.join(missing)} missing; {advice}") from error


def _progress(todo: "list[Trial]", records: "Mapping[str, TrialRecord]") -> str:
    """Return how many of the trials that a command found to run are done by now, each identity once."""
    identities = {trial.identity for trial in todo}
    num_done = sum(identity in records and records[identity].state.is_terminal for identity in identities)
    return f"{num_done} of {len(identities)} trials of this command done"


def _run_one(
    planned: "Plan", ledger: "Ledger", records: "Mapping[str, TrialRecord]", request: ResourceRequest, command: str
) -> int:
    todo = planned.to_run
    num_all = len({trial.identity for trial in planned.trials})
    out.print(f"{planned.space.name}: {planned.space.question}")
    out.print(f"{num_all} trials, {num_all - len(todo)} done, {len(todo)} to run")
    code = EXIT_FINISHED
    if todo:
        from study.execution.runner import run_plan
        from study.ledger.provenance import launch_tags

        result = run_plan(planned, ledger, out, request, tags=launch_tags(command))
        records = ledger.retry(ledger.trials, log=echo)
        planned = planned.with_records(records)
        code = _tell_failures(planned, ledger, result)
    else:
        from study.ledger.orphans import clean_up_idle

        ledger.retry(lambda: clean_up_idle(ledger), log=echo)
        out.print("nothing to do: every trial is done")
    ledger.retry(lambda: _share_trials(planned, ledger), log=echo)
    _print_answer(planned, ledger, records)
    return code


def _ledger(folders: "Folders") -> "Ledger":
    from study.ledger.ledger import Ledger

    return Ledger(folders.store, folders.server)


def _share_trials(planned: "Plan", ledger: "Ledger") -> None:
    """Let done trials that another study ran be found from this one, too."""
    from study.ledger.records import study_tags

    for trial in planned.trials:
        if trial.record is not None and trial.is_terminal:
            ledger.tag_study(
                trial.record, study_tags(planned.space.name, cell=trial.candidate.cell, point=trial.candidate.point)
            )


def _tell_failures(planned: "Plan", ledger: "Ledger", result: "RunResult") -> int:
    from study.labels import trial_label
    from study.layout import TRACEBACK

    trials = {trial.identity: trial for trial in planned.trials}
    for identity, message in result.messages.items():
        trial, state = trials[identity], result.states[identity]
        echo(f"{state}: {trial_label(trial)}: {message}")
        if state == TrialState.FAILED and trial.record is not None and trial.record.failure:
            echo(f"  {trial.missing}; {ledger.address(trial.record.run_id, TRACEBACK)}")
    if result.stopped:
        echo(result.stopped)
    if result.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if planned.to_run else EXIT_FINISHED


def _print_answer(planned: "Plan", ledger: "Ledger", records: "Mapping[str, TrialRecord]") -> "list[ClaimVerdict]":
    """Print a study's table, the notes on it, and the verdicts on its claims; return these."""
    from study.analysis.verdicts import claim_verdicts
    from study.ledger.predictions import read_correct
    from study.report.claim_list import to_lines
    from study.report.terminal_tables import terminal_table

    out.print()
    out.print(terminal_table(planned))
    _tell_notes(planned)
    judged = claim_verdicts(planned, records, partial(read_correct, ledger))
    for line in to_lines(judged):
        echo(line)
    return judged


def _tell_notes(planned: "Plan") -> None:
    from study.report.caveats import plan_caveats

    for line in plan_caveats(planned):
        echo(line)
