"""Studies as functions, for notebooks; the command line is their first user.

    from study import api

    folders = api.make_folders(store="mlruns")
    ledger = api.open_ledger(folders, create=True)
    plan = api.plan("quickstart", folders, num_seeds=1)
    api.run(plan, ledger)
    api.report(plan, ledger, Path("reports"))

Heavy libraries are imported by the functions that need them. Progress is printed on a Rich console, if one is given.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import search_spaces
from revit.errors import InputError
from revit.models.weights import use_weights_dir
from revit.paths import check_writable, expand_path
from search_spaces.framework.choices import (
    parse_assignments,
    parse_value,
    split_values,
    with_cells,
    with_settings,
)
from study.execution.resources import ResourceRequest
from study.model_check import check_names

if TYPE_CHECKING:
    from rich.console import Console

    from search_spaces.framework.space import SearchSpace
    from study.analysis.verdicts import ClaimVerdict
    from study.execution.recorder import RunResult
    from study.ledger.ledger import Ledger
    from study.ledger.records import TrialRecord
    from study.maintenance.fetch import Requirement
    from study.plan import Folders, Plan

ALL = "all"
"""Stands for every study of the paper."""
DEFAULT_STORE, DEFAULT_DATA, DEFAULT_CACHE = "mlruns", Path("data"), Path("~/.cache/revit-study")
SERVERS = ("http://", "https://")


def load_studies(
    study: str,
    *,
    scale: str | None = None,
    recipe: str | None = None,
    settings: Sequence[str] = (),
    only: Sequence[str] = (),
) -> "list[SearchSpace]":
    """Return a study by its name or its file, or all of the paper's.

    Args:
        settings: texts FIELD=VALUE: values over the study's own, which make it a study of its own.
        only: texts AXIS=VALUE or AXIS=VALUE,VALUE: the cells to which its trials are limited.

    Raises:
        InputError: there is no such study, scale, recipe, field or axis, or a study names a model that timm does not
            have.
    """
    names = search_spaces.names() if study == ALL else [study]
    spaces = [search_spaces.load(name) for name in names]
    chosen = [space.variant(scale=scale, recipe=recipe) for space in spaces if study != ALL or space.base is None]
    chosen = [_with_choices(space, settings, only) for space in chosen]
    for space in chosen:
        check_names(space)
    return chosen


def _with_choices(space: "SearchSpace", settings: Sequence[str], only: Sequence[str]) -> "SearchSpace":
    fields = {path: parse_value(path, text) for path, text in parse_assignments("--set", settings).items()}
    cells = split_values(space, parse_assignments("--only", only))
    space = with_settings(space, fields)
    return with_cells(space, cells) if cells else space


def make_folders(
    store: str = DEFAULT_STORE,
    data_dir: Path = DEFAULT_DATA,
    weights_dir: Path | None = None,
    cache_dir: Path = DEFAULT_CACHE,
    *,
    skip_broken: bool = False,
) -> "Folders":
    """Return the folders of results, datasets, decoded images.

    Args:
        store: a folder, or the address of an MLflow tracking server.
        weights_dir: folder of pretrained weights; set for the whole process.

    Raises:
        InputError: the address holds a password, which would be printed, and kept with every launch.
    """
    from study.plan import Folders

    use_weights_dir(weights_dir)
    server = store.rstrip("/") if store.startswith(SERVERS) else ""
    if server and "@" in store.split("/")[2]:
        variables = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        raise InputError(f"the address of the store has a user or password: set {variables} instead")
    return Folders(
        store=expand_path(Path(DEFAULT_STORE if server else store)),
        data=expand_path(data_dir),
        cache=expand_path(cache_dir),
        server=server,
        skip_broken=skip_broken,
    )


def open_ledger(folders: "Folders", *, create: bool = False) -> "Ledger":
    """Return the ledger of a store.

    Raises:
        InputError: there is no store, or it cannot be opened.
    """
    if not (create or folders.has_store):
        raise InputError(f"there is no store at {folders.store}: run a study first, or name another with --store")
    if create:
        check_writable(folders.store, "store")
    from study.ledger.ledger import Ledger

    return Ledger(folders.store, folders.server)


def plan(
    study: "str | SearchSpace",
    folders: "Folders",
    *,
    num_seeds: int | None = None,
    records: "Mapping[str, TrialRecord] | None" = None,
    for_report: bool = False,
) -> "Plan":
    """Return every trial of a study with its state.

    Args:
        num_seeds: train every cell with the seeds 0, 1, ...; None for the study's own seeds.
        records: the ledger's trials; None to read them.
        for_report: trials are planned from their records if their images or weights are missing.

    Raises:
        InputError: the study is wrong, a dataset or weights are missing, or an image cannot be decoded.
    """
    from study.plan import make_plan

    if isinstance(study, str):
        [study] = load_studies(study)
    if records is None:
        records = open_ledger(folders).trials() if folders.has_store else {}
    return make_plan(study, choose_seeds(study, num_seeds), folders, records, for_report=for_report)


def choose_seeds(space: "SearchSpace", num_seeds: int | None) -> tuple[int, ...]:
    """Return the first seeds from 0, or the study's own."""
    return space.seeds if num_seeds is None else tuple(range(num_seeds))


def check_can_run(
    plans: "Sequence[Plan]", request: ResourceRequest | None = None, *, strict_environment: bool = False
) -> None:
    """Raise InputError for what is known to fail before Ray starts.

    Args:
        strict_environment: fail if a study's trials would run in different environments.
    """
    request = request or ResourceRequest()
    new = [trial for planned in plans for trial in planned.to_run]
    if strict_environment:
        from study.analysis.mixed_environments import check_uniform
        from study.execution.environment import expected

        here = expected(request)
        for planned in plans:
            check_uniform(planned, here if planned.to_run else None)
    if new:
        from study.execution.preflight import check_runnable

        check_runnable(new, request)


def run(
    planned: "Plan",
    ledger: "Ledger",
    request: ResourceRequest | None = None,
    *,
    console: "Console | None" = None,
    command: str = "",
) -> "RunResult":
    """Train the trials of a plan that are not done.

    Failed trials do not raise: they are in the result. Call `check_can_run` first to fail before anything starts.

    Args:
        command: kept with the launch in MLflow; must hold no password.

    Raises:
        InputError: the request fits no node.
    """
    console, log = _console_with_log(console)
    num_trials = len({trial.identity for trial in planned.trials})
    log(f"{planned.space.name}: {planned.space.question}")
    log(f"{num_trials} trials, {num_trials - len(planned.to_run)} done, {len(planned.to_run)} to run")
    if planned.to_run:
        from study.execution.runner import run_plan
        from study.ledger.provenance import launch_tags

        result = run_plan(planned, ledger, console, request or ResourceRequest(), tags=launch_tags(command))
        planned = planned.with_records(ledger.retry(ledger.trials, log=log))
    else:
        from study.execution.recorder import RunResult
        from study.ledger.orphans import clean_up_idle

        ledger.retry(lambda: clean_up_idle(ledger), log=log)
        log("nothing to do: every trial is done")
        result = RunResult(states={}, messages={}, interrupted=False, stop_reason="")
    ledger.retry(lambda: _tag_study(planned, ledger), log=log)
    return result


def _tag_study(planned: "Plan", ledger: "Ledger") -> None:
    """Tag finished trials of other studies, so that they are found from this one, too."""
    from study.ledger.records import study_tags

    for trial in planned.trials:
        if trial.record is not None and trial.state.is_terminal:
            candidate = trial.candidate
            tags = study_tags(planned.space.name, cell=candidate.cell, point=candidate.point)
            ledger.tag_study(trial.record, tags)


def report(
    planned: "Plan",
    ledger: "Ledger",
    reports: Path,
    *,
    command: str = "",
    verdicts: "Sequence[ClaimVerdict] | None" = None,
) -> list[Path]:
    """Write a study's report to a folder of its own in `reports`; return the paths, the index of all reports last.

    Args:
        command: shown in the report, to run what is missing.
        verdicts: from `claim_verdicts`; None to read the ledger again and test the claims.

    Raises:
        ReportKeptError: the report in that folder has results that this one would lack.
    """
    from study.analysis.verdicts import claim_verdicts
    from study.report.report_folder import folder_name
    from study.report.writer import write_index, write_report

    if verdicts is None:
        records = ledger.trials()
        planned = planned.with_records(records)
        verdicts = claim_verdicts(planned, records, ledger.artifacts.read_correct)
    paths = write_report(planned, ledger, reports / folder_name(planned), command, verdicts)
    return [*paths, write_index(reports)]


def fetch(
    spaces: "Sequence[SearchSpace]", data_dir: Path = DEFAULT_DATA, *, console: "Console | None" = None
) -> "list[Requirement]":
    """Download the datasets and weights of studies; return each of them, present or missing."""
    from study.maintenance import fetch as fetching

    console, log = _console_with_log(console)
    requirements = []
    for each in fetching.fetch(spaces, expand_path(data_dir), console):
        state = "present" if each.is_present else "missing"
        log(f"{state}  {each.name}" + (f"\n  {each.advice}" if each.advice else ""))
        requirements.append(each)
    return requirements


def _console_with_log(console: "Console | None") -> "tuple[Console, Callable[[str], None]]":
    """Return the console, a quiet one for None, with a function that prints a line on it."""
    from rich.console import Console

    console = console or Console(quiet=True)
    return console, partial(console.print, highlight=False, markup=False, emoji=False, soft_wrap=True)
