"""The commands on a study: plan, run, report, fetch."""

import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from revit.errors import InputError
from revit.models.weights import use_weights_dir
from study import api
from study.cli.console import EXIT_FINISHED, EXIT_INTERRUPTED, EXIT_SOME_FAILED, echo, out
from study.cli.invocation import next_command, this_command
from study.cli.options import (
    Address,
    Compiled,
    CpusPerTrial,
    DataFolder,
    GpusPerTrial,
    MaxSeeds,
    Only,
    RecipeName,
    ScaleName,
    Settings,
    StorageAddress,
    StudyName,
    StudyOptions,
    UntilDecided,
    WeightsFolder,
    check_until_decided,
    echo_store,
    make_request,
    with_study_options,
)
from study.system.signals import handled

if TYPE_CHECKING:
    from search_spaces.framework.space import SearchSpace

    Launched = tuple[list[api.Plan], api.Ledger, Mapping[str, api.TrialRecord], api.RunResult]

StrictEnvironment = Annotated[
    bool,
    typer.Option(
        "--strict-environment",
        help="Refuse a table of mixed devices or versions.",
    ),
]


MetricName = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Read the study about another metric, without its claims: loss, accuracy@SET.",
    ),
]


@with_study_options
def run(
    context: typer.Context,
    options: StudyOptions,
    gpus_per_trial: GpusPerTrial = None,
    cpus_per_trial: CpusPerTrial = None,
    compiled: Compiled = False,
    strict_environment: StrictEnvironment = False,
    address: Address = None,
    storage: StorageAddress = None,
    until_decided: UntilDecided = False,
    max_seeds: MaxSeeds = None,
    missing_models: Annotated[
        bool,
        typer.Option("--missing-models", help="Train again where a kept model is missing."),
    ] = False,
) -> None:
    """Train what is not done of a study; show its answer.

    The same command resumes, and trains what was added. Studies share trials.

    Exit code: 0 finished, 1 some failed, 2 wrong input, 130 interrupted.
    """
    check_until_decided(options, max_seeds, until_decided=until_decided)
    if missing_models and until_decided:
        raise InputError("--missing-models: must be given without --until-decided, which adds seeds")
    request, folders = make_request(gpus_per_trial, cpus_per_trial, compiled, address), options.folders(storage)
    once = partial(_run_once, missing_models=missing_models)
    launch = partial(_run_until_decided, max_seeds=max_seeds) if until_decided else once
    try:
        with handled(signal.default_int_handler):
            code = _run(context, options, folders, request, partial(launch, strict_environment=strict_environment))
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:
        echo(f"\ninterrupted; resume with\n  {this_command(context)}")
    else:
        echo(f"\nNext steps:\n  {next_command(context, 'ui')}\n  {next_command(context, 'report')}")
    raise typer.Exit(code)


def _run(
    context: typer.Context,
    options: StudyOptions,
    folders: "api.Folders",
    request: api.ResourceRequest,
    launch: "Callable[..., Launched]",
) -> int:
    """Run the studies in one queue, once all are known to be able to start."""
    if request.compiled:
        api.cache_compiled(folders)
    spaces = options.load_studies()
    if not folders.has_store:  # it would be made; a study that is done shows its table without a cluster
        api.check_address(request)
    echo_store(folders)
    plans, ledger, records, result = launch(
        spaces, folders, request, num_seeds=options.seeds, command=this_command(context)
    )
    echo(*api.explain_failures(plans, ledger, result))
    for planned in plans:
        if len(plans) > 1:
            echo(f"\n{planned.space.name}: {planned.space.question}")
        _echo_results(ledger.retry(partial(api.measure_study, planned, ledger), log=echo), ledger, records)
        echo(*ledger.retry(partial(api.describe_missing_models, planned, ledger), log=echo))
    if result.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FINISHED if all(planned.is_complete for planned in plans) else EXIT_SOME_FAILED


def _run_once(
    spaces: "Sequence[SearchSpace]",
    folders: "api.Folders",
    request: api.ResourceRequest,
    *,
    num_seeds: int | None,
    command: str,
    strict_environment: bool,
    missing_models: bool,
) -> "Launched":
    """Train the trials of studies that are not done."""
    plans, ledger, records = api.prepare_run(
        spaces,
        folders,
        request,
        num_seeds=num_seeds,
        strict_environment=strict_environment,
        missing_models=missing_models,
    )
    result = api.run_plans(plans, ledger, request, console=out, command=command)
    if not all(planned.is_complete for planned in plans):
        records = ledger.retry(ledger.trials, log=echo)
    return [planned.with_records(records) for planned in plans], ledger, records, result


def _run_until_decided(
    spaces: "Sequence[SearchSpace]",
    folders: "api.Folders",
    request: api.ResourceRequest,
    *,
    max_seeds: int | None,
    num_seeds: None,  # noqa: ARG001  # the looks say how many
    command: str,
    strict_environment: bool,
) -> "Launched":
    """Train studies in rounds, until each claim has a verdict."""
    designs = api.choose_designs(spaces, folders, max_seeds)
    return api.run_until_decided(
        spaces, folders, request, designs, strict_environment=strict_environment, console=out, command=command
    )


@with_study_options
def report(
    context: typer.Context,
    options: StudyOptions,
    strict_environment: StrictEnvironment = False,
    reports: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write to.")] = Path("reports"),
    metric: MetricName = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Add the reports to this static site, with an index.")
    ] = None,
) -> None:
    """Show a study's table; write its report to a folder.

    Each study, recipe and scale has a folder in reports/, with report.html: one page that opens without network. Its
    tables, figures and verdicts lie beside it as files, and in MLflow. A report is not overwritten if it has results
    that this store lacks.

    Exit code: 0 written, 1 an earlier report was kept, 2 wrong input.
    """
    folders = options.folders()
    spaces = options.load_studies()
    if metric is not None:
        spaces = [space.about(metric) for space in spaces]
    echo_store(folders)
    ledger = api.open_ledger(folders)
    from study.report.report_folder import ReportKeptError

    records = ledger.trials()
    code = EXIT_FINISHED
    plans, pages = [], []
    for space in spaces:
        planned = api.plan_study(space, folders, records, num_seeds=options.seeds, for_report=True, ledger=ledger)
        plans.append(planned)
        if strict_environment:
            api.check_uniform(planned)
        planned = api.measure_study(planned, ledger)
        verdicts, effects, history = _echo_results(planned, ledger, records)
        study = options.study if len(spaces) == 1 else space.name
        command = next_command(context, "run", study=study)
        try:
            paths = api.write_report(planned, ledger, reports, verdicts, effects, history, command=command)
            echo(*(f"wrote {path}" for path in paths))
            pages.append(paths[0])
        except ReportKeptError as error:
            echo(str(error))
            code = EXIT_SOME_FAILED
    index = api.write_index(reports)
    echo(f"wrote {index}")
    if bundle is not None:
        echo(f"wrote {api.write_bundle(plans, reports, bundle)}")
    echo(f"open it in a browser: {(pages[0] if len(pages) == 1 else index).resolve().as_uri()}")
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


def _echo_results(
    planned: "api.Plan", ledger: "api.Ledger", records: "Mapping[str, api.TrialRecord]"
) -> "tuple[list[api.ClaimVerdict], api.StudyEffects, api.History]":
    """Print table, caveats, verdicts with when claims were registered, deviations, answer; return what reports need."""
    from revit.training.metrics import find_metric
    from study.report.caveats import plan_caveats
    from study.report.claim_list import to_lines
    from study.report.registration_section import registration_lines
    from study.report.terminal_tables import further_table, terminal_table

    out.print()
    out.print(terminal_table(planned))
    if planned.further:
        out.print()
        out.print(further_table(planned))
    echo(*plan_caveats(planned))
    read = partial(ledger.retry, log=echo)  # results are safe: a server that is away is waited for
    verdicts = read(partial(api.claim_verdicts, planned, ledger, records))
    history = read(partial(api.read_history, planned, ledger, records))
    registration = api.compare_registration(planned, history)
    lines = zip(to_lines(verdicts, find_metric(planned.space.metric)), registration.claims, strict=True)
    echo(*(f"{line}; {status.text}" for line, status in lines), *registration_lines(registration))
    effects = read(partial(api.study_effects, planned, ledger, records))
    echo("", *api.answer_lines(planned, effects))
    return verdicts, effects, history
