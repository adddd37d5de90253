"""Steps of the commands, from a study's space to its report.

Heavy libraries are imported by the functions that need them. Progress is printed on a Rich console, if one is given.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from revit.paths import expand_path
from search_spaces.framework.space import SearchSpace
from study.api.designs import find_design, plan_round
from study.api.opening import DEFAULT_DATA, open_ledger
from study.execution.resources import ResourceRequest

if TYPE_CHECKING:
    from rich.console import Console

    from search_spaces.framework.sequential_design import SequentialDesign
    from study.analysis.effects import StudyEffects
    from study.analysis.verdicts import ClaimVerdict
    from study.execution.recorder import RunResult
    from study.forecast.study_forecast import Forecast
    from study.ledger.ledger import Ledger
    from study.ledger.records import Rehearsal, TrialRecord
    from study.maintenance.fetch import Requirement
    from study.plan import Folders, Plan, TrialPreview
    from study.registration.history import History


def read_records(folders: "Folders") -> "Mapping[str, TrialRecord]":
    """Return the trials of a store by identity, none where there is no store yet."""
    return open_ledger(folders).trials() if folders.has_store else {}


def find_missing(space: SearchSpace, folders: "Folders") -> "list[Requirement]":
    """Return the datasets and weights of a study that are not on this machine; empty if it can be planned.

    Raises:
        InputError: a model cannot be built, or does not accept images of its resolution.
    """
    from study.maintenance import fetch
    from study.model_check import check_models
    from study.plan import is_registered

    check_models(space)
    return fetch.find_missing(space, folders.data) if is_registered(space) else []


def preview_study(space: SearchSpace, num_seeds: int | None = None) -> "list[TrialPreview]":
    """Return every trial of a study whose datasets are in the registry, without reading any file."""
    from study.plan import preview

    return preview(space, choose_seeds(space, num_seeds))


def count_trials(space: SearchSpace, num_seeds: int | None = None) -> int:
    """Return how many trials a study has: those of its table, and the most that its searches may have."""
    cells = space.list_cells()
    num_points = sum(space.num_points(cell) for cell in cells if cell.axes)
    return len(cells) * len(choose_seeds(space, num_seeds)) + num_points * len(space.search.seeds)


def plan_study(
    space: SearchSpace,
    folders: "Folders",
    records: "Mapping[str, TrialRecord]",
    *,
    num_seeds: int | None = None,
    for_report: bool = False,
    ledger: "Ledger | None" = None,
    design: "SequentialDesign | None" = None,
) -> "Plan":
    """Return every trial of a study with its state.

    Args:
        records: the ledger's trials.
        num_seeds: train every cell with the seeds 0, 1, ...; None for the study's own seeds, or those of its looks.
        for_report: trials are planned from their records if their images or weights are missing.
        ledger: that has the trials, and may have a sequential design of the study.
        design: in place of that of the ledger.

    Raises:
        InputError: the study is wrong, a dataset or weights are missing, or an image cannot be decoded.
    """
    from study.planning import make_plan

    if design is None and ledger is not None:
        design = find_design(space, ledger)
    if design is not None and num_seeds is None:
        return plan_round(space, folders, records, ledger, design, for_report=for_report).plan
    return make_plan(space, choose_seeds(space, num_seeds), folders, records, for_report=for_report, design=design)


def choose_seeds(space: SearchSpace, num_seeds: int | None) -> tuple[int, ...]:
    """Return the first seeds from 0, or the study's own."""
    return space.seeds if num_seeds is None else tuple(range(num_seeds))


def forecast_studies(
    studies: "Sequence[tuple[SearchSpace, Plan | None, Sequence[str]]]",
    folders: "Folders",
    records: "Mapping[str, TrialRecord]",
    *,
    num_seeds: int | None = None,
    gpu: str | None = None,
    num_gpus: int | None = None,
    price_per_hour: float | None = None,
) -> "Forecast":
    """Return what studies that are run together will cost: time, memory, disk, money. Trains and starts nothing.

    Args:
        studies: each with its plan, or None and what is missing for one: its datasets have to be in the registry.
        gpu: key of `study.forecast.devices.DEVICES`; None for the device that `run` uses on this machine.
        num_gpus: number of them; None for as many as this machine has, or one.
        price_per_hour: of one of them.

    Raises:
        InputError: there is no such GPU in the table, or none on this machine.
    """
    from study.forecast.devices import choose_devices
    from study.forecast.study_forecast import ASSUMED_START_S, Forecaster, Planned
    from study.system.limits import free_bytes

    device, count = choose_devices(gpu, num_gpus)
    rehearsals: list[Rehearsal] = []
    start_s: float | None = None
    if folders.has_store:
        ledger = open_ledger(folders)
        rehearsals, start_s = ledger.rehearsals.read(), ledger.launches.start_s(on_gpu=device.is_gpu)
    start_s = ASSUMED_START_S if start_s is None else start_s
    free = None if folders.server else free_bytes(folders.store)
    forecaster = Forecaster(device, count, records.values(), rehearsals, start_s, free)
    planned = [Planned(space, plan, missing, num_seeds) for space, plan, missing in studies]
    return forecaster.forecast(planned, price_per_hour)


def cache_compiled(folders: "Folders") -> None:
    """Keep what torch.compile makes beside the decoded images: trials share it, and so do later commands."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folders.cache / "compiled"))


def check_address(request: ResourceRequest) -> None:
    """Raise InputError where no cluster can be joined at a request's address: in seconds, before images are read."""
    if request.address is not None:
        from study.execution.cluster_address import find_cluster

        find_cluster(request.address, os.environ.get("RAY_ADDRESS"))


def check_can_run(
    plans: "Sequence[Plan]", request: ResourceRequest | None = None, *, strict_environment: bool = False
) -> None:
    """Raise InputError for what is known to fail before Ray starts.

    Args:
        strict_environment: fail if a study's trials would run in different environments.
    """
    request = request or ResourceRequest()
    new = [trial for planned in plans for trial in planned.to_check]
    if strict_environment:
        from study.analysis.mixed_environments import check_uniform
        from study.execution.environment import expected

        here = expected(request)
        for planned in plans:
            check_uniform(planned, here if planned.to_check else None)
    if new:
        from study.execution.preflight import check_runnable
        from study.execution.time_budgets import check_time_budget

        for planned in plans:
            check_time_budget(planned)
        check_runnable(new, request)


def run_plans(
    plans: "Sequence[Plan]",
    ledger: "Ledger",
    request: ResourceRequest | None = None,
    *,
    console: "Console | None" = None,
    command: str = "",
) -> "RunResult":
    """Train the trials of plans that are not done, in one queue. A trial of several studies is trained once.

    Failed trials do not raise: they are in the result. Call `check_can_run` first to fail before anything starts.

    Args:
        command: kept with the launch in MLflow; must hold no password.

    Raises:
        InputError: the request fits no node.
    """
    console, log = console_with_log(console)
    for planned in plans:
        num_to_run = len(planned.to_run) + planned.num_unknown
        num_done = len(planned.all_trials) - len(planned.to_run)
        log(f"{planned.space.name}: {planned.space.question}")
        log(f"{num_done + num_to_run} trials, {num_done} done, {num_to_run} to run")
    for planned in plans:  # before a launch removes a model that one of them keeps
        ledger.retry(partial(_tag_study, planned, ledger), log=log)
    incomplete = [planned for planned in plans if not planned.is_complete]
    if incomplete:
        from study.execution import runner
        from study.ledger.provenance import launch_tags

        result = runner.run_plans(incomplete, ledger, console, request or ResourceRequest(), tags=launch_tags(command))
        records = ledger.retry(ledger.trials, log=log)
        plans = [planned.with_records(records) for planned in plans]
    else:
        from study.execution.recorder import RunResult
        from study.ledger.orphans import clean_up_idle

        ledger.retry(lambda: clean_up_idle(ledger), log=log)
        log("nothing to do: every trial is done")
        result = RunResult(states={}, messages={}, interrupted=False, stop_reason="")
    for planned in plans:
        ledger.retry(partial(_tag_study, planned, ledger), log=log)
    return result


def _tag_study(planned: "Plan", ledger: "Ledger") -> None:
    """Tag finished trials of other studies, so that they are found from this one, too, with what it keeps of them."""
    from study.kept_models import settle_models
    from study.ledger.records import study_tags

    settle_models(planned, ledger)
    for trial in planned.trials:
        if trial.record is not None and trial.state.is_terminal:
            candidate = trial.candidate
            tags = study_tags(planned.space.name, cell=candidate.cell, point=candidate.point)
            ledger.tag_study(trial.record, tags)


def explain_failures(plans: "Sequence[Plan]", ledger: "Ledger", result: "RunResult") -> "Iterator[str]":
    """Yield a line for each trial that failed or diverged, with its traceback, then why studies stopped early."""
    from study.labels import trial_label
    from study.layout import TRACEBACK
    from study.ledger.states import TrialState

    trials = {trial.identity: trial for planned in plans for trial in planned.all_trials}
    for identity, message in result.messages.items():
        trial, state = trials[identity], result.states[identity]
        yield f"{state}: {trial_label(trial)}: {message}"
        if state == TrialState.FAILED and trial.record is not None and trial.record.failure:
            yield f"  {trial.missing}; {ledger.artifacts.address(trial.record.run_id, TRACEBACK)}"
    if result.stop_reason:
        yield result.stop_reason


def check_uniform(planned: "Plan") -> None:
    """Raise InputError if a study's trials ran in different environments."""
    from study.analysis import mixed_environments

    mixed_environments.check_uniform(planned)


def measure_study(planned: "Plan", ledger: "Ledger") -> "Plan":
    """Return a plan with what reports need of the study's metric, unless it is accuracy, which every trial logs."""
    from study.analysis.measured import measure

    return measure(planned, ledger.artifacts.read_predictions)


def claim_verdicts(planned: "Plan", ledger: "Ledger", records: "Mapping[str, TrialRecord]") -> "list[ClaimVerdict]":
    """Test each claim of a study, in its order.

    Args:
        planned: of `measure_study`.
        records: every trial of the ledger by identity, other studies' included.
    """
    from study.analysis import verdicts
    from study.analysis.measured import measure_for_claims

    by_metric = measure_for_claims(planned, ledger.artifacts.read_predictions)
    return verdicts.claim_verdicts(planned, records, ledger.artifacts.read_correct, by_metric)


def study_effects(planned: "Plan", ledger: "Ledger", records: "Mapping[str, TrialRecord]") -> "StudyEffects":
    """Return the effects of a study's axes, their interactions, and its best cell.

    Args:
        planned: of `measure_study`.
        records: every trial of the ledger by identity, other studies' included.
    """
    from study.analysis import effects

    return effects.study_effects(planned, records, ledger.artifacts.read_correct)


def answer_lines(planned: "Plan", effects: "StudyEffects") -> list[str]:
    """Return the answer to a study's question in words: a paragraph, then a line for each detail.

    Args:
        effects: of `study_effects`.
    """
    from study.report import answer

    return answer.to_lines(answer.make_answer(planned, effects))


def write_report(
    planned: "Plan",
    ledger: "Ledger",
    reports: Path,
    verdicts: "Sequence[ClaimVerdict]",
    effects: "StudyEffects",
    history: "History",
    *,
    command: str = "",
) -> list[Path]:
    """Write a study's report to a folder of its own in `reports`; return the paths, report.html first.

    Args:
        verdicts: of `claim_verdicts`.
        effects: of `study_effects`.
        history: of `read_history`.
        command: shown in the report, to run what is missing.

    Raises:
        ReportKeptError: the report in that folder has results that this one would lack.
    """
    from study.report import writer
    from study.report.report_folder import folder_name

    folder = expand_path(reports) / folder_name(planned)
    return writer.write_report(planned, ledger, folder, command, verdicts, effects, history)


def write_index(reports: Path) -> Path:
    """Write the page that lists every report in a folder with its verdicts; return its path."""
    from study.report import writer

    return writer.write_index(expand_path(reports))


def write_bundle(plans: "Sequence[Plan]", reports: Path, bundle: Path) -> Path:
    """Add the written reports of studies to a static site; return the path of its index.

    Raises:
        InputError: the folder of the site cannot be written, or is that of the reports.
    """
    from study.report import bundle as bundling
    from study.report.report_folder import folder_name

    folders = [expand_path(reports) / folder_name(planned) for planned in plans]
    return bundling.write_bundle([each for each in folders if bundling.has_report(each)], expand_path(bundle))


def fetch(
    spaces: "Sequence[SearchSpace]", data_dir: Path = DEFAULT_DATA, *, console: "Console | None" = None
) -> "list[Requirement]":
    """Download the datasets and weights of studies; return each of them, present or missing."""
    from study.maintenance import fetch as fetching

    console, log = console_with_log(console)
    requirements = []
    for each in fetching.fetch(spaces, expand_path(data_dir), console):
        state = "present" if each.is_present else "missing"
        log(f"{state}  {each.name}" + (f"\n  {each.advice}" if each.advice else ""))
        requirements.append(each)
    return requirements


def console_with_log(console: "Console | None") -> "tuple[Console, Callable[[str], None]]":
    """Return the console, a quiet one for None, with a function that prints a line on it."""
    from rich.console import Console

    console = console or Console(quiet=True)
    return console, partial(console.print, highlight=False, markup=False, emoji=False, soft_wrap=True)
