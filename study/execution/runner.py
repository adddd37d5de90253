"""The launch of a plan on Ray Tune."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import ray
from rich.console import Console

from revit.errors import InputError
from study.execution.admission import admit
from study.execution.callback import TuneCallback
from study.execution.cluster import ray_is_alive, start_ray
from study.execution.failures import MAX_LOSSES, RayLostError
from study.execution.input_upload import upload_added
from study.execution.launch_registration import register_plans
from study.execution.launch_values import tag_actual, tag_estimate
from study.execution.point_asker import PointAsker
from study.execution.progress import StudyProgress
from study.execution.ray_log import launch_log
from study.execution.recorder import Recorder, RunResult
from study.execution.resources import ResourceRequest
from study.execution.scheduler import TrialOrder
from study.execution.searcher import TrialSearcher
from study.execution.shipped_code import functions_of
from study.execution.stopper import Stopper
from study.execution.trainable import train_trial
from study.execution.tuner import run_tune
from study.forecast.queue import queue_of
from study.kept_models import settle_finished
from study.layout import STOP_FILE, TUNE
from study.ledger.ledger import Ledger
from study.ledger.orphans import clean_up
from study.ledger.schema import DECISION_PREFIX, LOG_TAG
from study.ledger.server_locks import begin_launch
from study.plan import Plan, first_of_each
from study.system.signals import handled
from study.trial import Trial


def run_plans(
    plans: Sequence[Plan], ledger: Ledger, console: Console, request: ResourceRequest, tags: Mapping[str, str]
) -> RunResult:
    """Train every trial of the plans that has not ended, and record all events in the ledger.

    The trials of all plans wait in one queue. A trial of several studies is trained once, for the first of them.

    Several processes may run on one store at the same time: each trial is trained by one of them, and each process
    waits for those of its trials that another one trains. Failed trials do not raise: they are in the result.

    Args:
        plans: of studies with different names.
        tags: of the launch's runs, beside those of their studies.

    Raises:
        InputError: a trial requests more than Ray's nodes have.
    """

    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    with launch_log(ledger.root, log) as path:
        return _run_logged(plans, ledger, console, log, request, {**tags, LOG_TAG: str(path)})


def _run_logged(
    plans: Sequence[Plan],
    ledger: Ledger,
    console: Console,
    log: Callable[[str], None],
    request: ResourceRequest,
    tags: Mapping[str, str],
) -> RunResult:
    began_s = time.time()
    start = partial(start_ray, request.address, functions_of(plans))
    start(log=log)
    pool, grant = admit(request, [trial for plan in plans for trial in plan.to_check], ledger.storage, log)
    launches, lock, locks = begin_launch(
        {plan.space.name: {**plan.space.tags, **rule_tags(plan), **tags} for plan in plans}, ledger, log
    )
    ledger.retry(lambda: clean_up(ledger, locks), log=log)
    records = ledger.retry(ledger.trials, log=log)
    plans = [plan.with_records(records) for plan in plans]  # another launch may have ended trials meanwhile
    folder = ledger.root / TUNE / lock
    stopper = Stopper(console, ledger.storage, f"{TUNE}/{lock}/{STOP_FILE}")
    if ledger.storage.folder is not None:  # workers look for it
        (ledger.storage.folder / TUNE / lock).mkdir(parents=True, exist_ok=True)
    queue = queue_of(plans, records.values(), grant.device)
    known = first_of_each(trial for plan in plans for trial in plan.all_trials)
    registered = register_plans(plans, launches, ledger, tags, log)
    recorder = Recorder(
        ledger,
        launches=launches,
        trials=known,
        locks=locks,
        log=log,
        registered=registered,
        on_finished=partial(settle_finished, known=known, spaces=[plan.space for plan in plans], ledger=ledger),
    )

    def upload(trials: Sequence[Trial]) -> None:
        if request.address is not None:
            upload_added(trials, ledger.storage, log, should_stop=lambda: stopper.stopping)

    askers = {
        plan.space.name: PointAsker(plan, records, ledger, locks, recorder, upload)
        for plan in plans
        if plan.searches and not plan.is_complete
    }
    searcher = TrialSearcher(queue, known, grant, locks, ledger, stopper, askers)
    try:
        progress = StudyProgress(console, plans, known, queue.costs, grant.max_concurrent_trials, tags[LOG_TAG])
        with handled(stopper.handle_signal), progress:
            callback = TuneCallback(recorder, progress, plans, known, searcher, stopper, locks, pool)
            run = partial(
                run_tune,
                train_trial,
                callback,
                searcher=searcher,
                scheduler=TrialOrder(searcher, stopper),
                stopper=stopper,
                reuses_workers=grant.reuses_workers,
            )
            _run_with_restarts(run, searcher, callback, stopper, folder, start)
            callback.stop_if_hopeless()
    finally:
        searcher.close()
        recorder.close(
            interrupted=stopper.interrupted or locks.is_fenced,
            incomplete=[plan.space.name for plan in plans if not searcher.is_complete(plan)],
        )
        locks.release_all()
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # the next launch removes it
            ledger.storage.delete(f"{TUNE}/{lock}")
    if not (stopper.interrupted or locks.is_fenced or recorder.error):
        ended_s = time.time()
        ledger.retry(lambda: tag_estimate(ledger, launches.values(), plans, records.values(), grant), log=log)
        ledger.retry(lambda: tag_actual(ledger, launches.values(), began_s, ended_s), log=log)
    return RunResult(
        states=recorder.states,
        messages=recorder.messages,
        interrupted=stopper.interrupted,
        stop_reason=callback.stop_reason or recorder.error,
        num_slots=grant.max_concurrent_trials,
    )


def rule_tags(plan: Plan) -> dict[str, str]:
    """Return the tags of a launch with the sequential design of its study; empty for a fixed number of seeds."""
    rule = {} if plan.design is None else plan.design.to_text()
    return {f"{DECISION_PREFIX}{name}": value for name, value in rule.items()}


def _run_with_restarts(
    run: Callable[..., None],
    searcher: TrialSearcher,
    callback: TuneCallback,
    stopper: Stopper,
    folder: Path,
    start: Callable[[], None],
) -> None:
    """Run Tune until every trial has ended or the study is stopped. Where Ray itself is lost, start it again.

    Args:
        run: runs Tune, with its files in a new folder.
        start: starts Ray, or joins its cluster.
    """
    num_left_at_deaths: list[int] = []
    while True:
        try:
            run(folder=folder / str(len(num_left_at_deaths)))
        except Exception as error:
            if not isinstance(error, RayLostError) and ray_is_alive():
                raise
        else:
            return
        stopper.running.clear()
        if stopper.stopping:
            return
        num_left_at_deaths.append(searcher.num_left)
        if num_left_at_deaths[-MAX_LOSSES:] == num_left_at_deaths[-1:] * MAX_LOSSES:
            callback.stop(f"the study was stopped: Ray was lost {MAX_LOSSES} times, and no trial ended in between")
            return
        ray.shutdown()
        try:
            start()
        except InputError as error:
            callback.stop(f"the study was stopped: Ray was lost, and: {error}")
            return
        searcher.requeue_all()
