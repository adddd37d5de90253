"""Runs the trials of a plan on Ray Tune."""

import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from rich.console import Console
from rich.filesize import decimal

from revit.config import ModelConfig
from revit.errors import InputError
from revit.models.weights import PACKAGED
from study.execution.callback import TuneCallback
from study.execution.cluster import find_nodes, ray_is_alive, start_ray
from study.execution.failures import MOST_LOST, RayLostError
from study.execution.progress import StudyProgress
from study.execution.recorder import Recorder
from study.execution.resources import ResourceRequest, grant_resources
from study.execution.run_result import RunResult
from study.execution.searcher import Stopper, TrialSearcher
from study.execution.trainable import train_trial
from study.execution.trial_task import TrialTask, make_task
from study.layout import LOCKS, STOP_FILE, TUNE, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.orphans import clean_up
from study.ledger.server_locks import ServerLocks
from study.model_check import model_key
from study.plan import Plan, Trial

MIN_RAY_BYTES, MIN_RAY_INODES = 50_000_000, 1_000
"""Free in Ray's temporary folder, so that its logs and sockets fit."""


def check_runnable(trials: list[Trial], request: ResourceRequest) -> None:
    """Raise InputError for what can be known to fail before Ray starts.

    Models that the project does not ship are built and run once, without memory for their tensors, and their weights
    held against them.
    """
    foreign = {model_key(trial.candidate.config): trial for trial in trials if not _is_shipped(trial)}
    for trial in foreign.values():
        from revit.models.build import check_model

        check_model(trial.candidate.config, trial.weights)
    if request.gpus_per_trial is not None and request.gpus_per_trial > 1:
        one = "a trial trains on one GPU: ask for 1, or for a fraction of it"
        raise InputError(f"--gpus-per-trial = {request.gpus_per_trial:g}: {one}")
    check_temporary_folder()
    if request.address is not None:
        return  # what the cluster has is known once it is joined
    if request.gpus_per_trial:
        import torch

        there = torch.cuda.device_count()
        if request.gpus_per_trial > there:
            raise InputError(f"--gpus-per-trial = {request.gpus_per_trial:g}: this machine has {there}")
    cpus = os.cpu_count() or 1
    if request.cpus_per_trial is not None and request.cpus_per_trial > cpus:
        raise InputError(f"--cpus-per-trial = {request.cpus_per_trial}: this machine has {cpus}")


def check_temporary_folder() -> None:
    """Raise InputError where Ray's temporary folder lacks the space or the inodes for its logs and sockets."""
    named = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), "")
    folder = Path(os.environ.get(named, "/tmp"))
    disk = os.statvfs(next(each for each in (folder, *folder.absolute().parents) if each.exists()))
    free = disk.f_bavail * disk.f_frsize
    if free < MIN_RAY_BYTES or (disk.f_files > 0 and disk.f_favail < MIN_RAY_INODES):
        raise InputError(
            f"Ray's temporary folder {folder} has {decimal(free)} and {disk.f_favail} inodes left, and needs "
            f"{decimal(MIN_RAY_BYTES)} and {MIN_RAY_INODES}: free some, or name another with RAY_TMPDIR"
        )


def _is_shipped(trial: Trial) -> bool:
    plain = ModelConfig(name=trial.candidate.config.model.name)
    return trial.candidate.config.model == plain and trial.weights is not None and trial.weights.parent == PACKAGED


def run_plan(plan: Plan, ledger: Ledger, console: Console, request: ResourceRequest, tags: dict[str, str]) -> RunResult:
    """Train every trial of the plan that is not settled; write all that happens to the ledger.

    Other processes may do so on the same store at the same time: each trial is trained by one of them, and each waits
    for those of its trials that another trains. Trials that fail do not raise: they are in the result.

    Args:
        tags: of the launch's run, beside its study's name.

    Raises:
        InputError: a trial asks for more than Ray finds here.
    """

    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    start_ray(request.address, log=log)
    grant = grant_resources(request, find_nodes())
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(grant.max_concurrent_trials)  # so many workers start at a time
    launch, lock, locks = begin_launch(plan.space.name, {**plan.space.tags, **tags}, ledger, log)
    ledger.retry(lambda: clean_up(ledger, locks), log=log)
    plan = plan.with_records(ledger.retry(ledger.trials, log=log))  # another run may have ended since it was made
    folder = ledger.root / TUNE / lock
    work, stop_file = ledger.root / WORK, folder / STOP_FILE
    kept_seed = plan.trials[0].candidate.config.seed
    stopper = Stopper(console, stop_file)
    recorder = Recorder(
        ledger,
        launch=launch,
        study=plan.space.tags,
        trials=plan.to_run,
        locks=locks,
        log=log,
    )
    task_of = partial(make_task, work=work, stop_file=stop_file, kept_seed=kept_seed)
    searcher = TrialSearcher(plan.to_run, grant, task_of, locks, ledger, stopper)
    try:
        with stopper.handle_signals(), StudyProgress(console, plan.to_run) as progress:
            callback = TuneCallback(recorder, progress, plan, searcher, stopper, locks, work)
            _run_to_the_end(searcher, callback, stopper, folder, request.address)
    finally:
        searcher.close()
        recorder.close(interrupted=stopper.interrupted or locks.is_fenced, complete=not searcher.num_left)
        locks.release_all()
        shutil.rmtree(folder, ignore_errors=True)
    return RunResult(
        states=recorder.states,
        messages=recorder.messages,
        interrupted=stopper.interrupted,
        stopped=callback.stopped or recorder.fault,
    )


def begin_launch(
    study: str, tags: Mapping[str, str], ledger: Ledger, log: Callable[[str], None]
) -> tuple[str, str, Locks]:
    """Begin a launch, whose lock is held before anybody can see it: a sweep ends what nobody holds.

    Returns:
        The id of its run, the name of its lock, and its leases: on its server, or on its store's disk.
    """
    folder = ledger.root / LOCKS
    locks = ServerLocks(folder, ledger) if ledger.server else Locks(folder)
    lock = locks.acquire_new()
    launch = ledger.retry(lambda: ledger.launches.open(study, tags, lock), log=log)
    locks.begin(launch)
    return launch, lock, locks


def _run_to_the_end(
    searcher: TrialSearcher, callback: TuneCallback, stopper: Stopper, folder: Path, address: str | None
) -> None:
    """Run Tune until the queue is empty or the study stopped; where Ray itself dies, start it again."""
    lost_with: list[int] = []
    while True:
        try:
            _run_tune(searcher, callback, stopper, folder / str(len(lost_with)))
        except Exception as error:
            if not isinstance(error, RayLostError) and ray_is_alive():
                raise
        else:
            return
        stopper.running.clear()
        if stopper.stopping:
            return
        lost_with.append(searcher.num_left)
        if lost_with[-MOST_LOST:] == lost_with[-1:] * MOST_LOST:
            callback.stop(f"the study was stopped: Ray died {MOST_LOST} times, and no trial ended in between")
            return
        ray.shutdown()
        try:
            start_ray(address)
        except InputError as error:
            callback.stop(f"the study was stopped: Ray died, and: {error}")
            return
        searcher.requeue_all()


def _run_tune(searcher: TrialSearcher, callback: TuneCallback, stopper: Stopper, folder: Path) -> None:
    tuner = tune.Tuner(
        tune.with_resources(train_trial, _bundle),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,  # as many as the queue has
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            callbacks=[callback],
            stop=stopper,
            verbose=0,
        ),
    )
    tuner.fit()


def _bundle(params: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What Ray reserves for a trial."""
    task: TrialTask = params["task"]
    return tune.PlacementGroupFactory([{"CPU": task.grant.num_cpus, "GPU": task.grant.num_gpus}])
