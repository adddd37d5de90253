"""Runs the trials of a plan on Ray Tune. With trainable.py, the only place that knows Ray."""

import logging
import os
import pickle
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import ray
from filelock import FileLock, Timeout
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from rich.console import Console

from revit.config import ModelConfig
from revit.errors import InputError
from revit.weights import PACKAGED
from study.ledger import Ledger, Outcome, is_settled
from study.plan import Plan, Trial
from study.progress import StudyProgress
from study.recorder import Recorder, trial_name
from study.trainable import ARTIFACTS, Order, clear_work, train_trial

QUIET_RAY = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # _CtrlC listens
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # the ledger is what a study resumes from
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one trial gets; None for the default: one GPU where there are any, and its share of the CPUs."""

    cpus_per_trial: int | None = None
    gpus_per_trial: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a launch went.

    Attributes:
        outcomes: of every trial that started, by identity.
        messages: why, one line, for each that did not finish and was not interrupted.
        interrupted: Ctrl-C ended it.
    """

    outcomes: dict[str, Outcome]
    messages: dict[str, str]
    interrupted: bool


def check_runnable(trials: list[Trial], resources: Resources) -> None:
    """Raise InputError for what can be known to fail before Ray starts.

    Models that the project does not ship are built, without memory for their tensors, and their weights
    held against them.
    """
    foreign = {(t.candidate.config.model, t.candidate.config.resolution): t for t in trials if not _is_shipped(t)}
    for trial in foreign.values():
        from revit.models import check_model

        check_model(trial.candidate.config, trial.weights)
    if resources.gpus_per_trial:
        import torch

        there = torch.cuda.device_count()
        if resources.gpus_per_trial > there:
            raise InputError(f"--gpus-per-trial = {resources.gpus_per_trial:g}: this machine has {there}")
    cpus = os.cpu_count() or 1
    if resources.cpus_per_trial is not None and resources.cpus_per_trial > cpus:
        raise InputError(f"--cpus-per-trial = {resources.cpus_per_trial}: this machine has {cpus}")


def _is_shipped(trial: Trial) -> bool:
    plain = ModelConfig(name=trial.candidate.config.model.name)
    return trial.candidate.config.model == plain and trial.weights is not None and trial.weights.parent == PACKAGED


def run_plan(plan: Plan, ledger: Ledger, console: Console, resources: Resources, tags: dict[str, str]) -> RunResult:
    """Train every trial of the plan that is not settled; write all that happens to the ledger.

    Trials that fail do not raise: their outcomes and messages are in the result.

    Args:
        tags: of the launch's run, beside its study's name.

    Raises:
        InputError: a trial asks for more than Ray finds here, or another process runs studies on the store.
    """
    start_ray()
    share = _share(resources, ray.cluster_resources())  # type: ignore[no-untyped-call]  # Ray leaves it so
    stopper = _CtrlC(console)
    with _alone_on(ledger.root), stopper.listening():
        ledger.close_abandoned()
        plan = plan.with_records(ledger.trials())  # another run may have ended since it was made
        launch = ledger.open_launch(plan.space.name, {**plan.space.tags, **tags})
        recorder = Recorder(ledger, launch=launch, study=plan.space.tags, trials=plan.to_run)
        try:
            with StudyProgress(console, plan.to_run) as progress:
                events = _Events(recorder, progress, plan, share, ledger.root / "work")
                _run_tune(events, stopper, storage=ledger.root / "tune", name=launch)
        finally:
            recorder.close(interrupted=stopper.pressed)
            shutil.rmtree(ledger.root / "tune" / launch, ignore_errors=True)
    return RunResult(outcomes=recorder.outcomes, messages=recorder.messages, interrupted=stopper.pressed)


@contextmanager
def _alone_on(store: Path) -> Iterator[None]:
    """Hold the store's lock, so that no other process trains the same trials."""
    lock = FileLock(store / "run.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"{store}: another run is using this store; wait for it, or name another --store") from error
    try:
        yield
    finally:
        lock.release()


def _run_tune(events: "_Events", stopper: "_CtrlC", *, storage: Path, name: str) -> None:
    orders = [asdict(events.order(trial)) for trial in events.trials.values()]
    resources = {"cpu": events.share.cpus, "gpu": events.share.gpus}
    tuner = tune.Tuner(
        tune.with_resources(train_trial, resources),
        param_space={"order": tune.grid_search(orders)},
        tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id),
        run_config=tune.RunConfig(name=name, storage_path=str(storage), callbacks=[events], stop=stopper, verbose=0),
    )
    tuner.fit()


def start_ray() -> None:
    """Join the Ray that is running in this process, or start one that only this machine can reach."""
    os.environ.update(QUIET_RAY)
    if not ray.is_initialized():
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failed trials are told of by their outcome
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


class _Share(NamedTuple):
    """CPUs and GPUs of one trial."""

    cpus: int
    gpus: float


def _share(resources: Resources, cluster: Mapping[str, float]) -> _Share:
    """What one trial gets of what Ray has found.

    A small model on a CPU is faster on one thread than on two (measured: 824 against 695 images/s).

    Raises:
        InputError: more than there is.
    """
    num_cpus, num_gpus = cluster["CPU"], cluster.get("GPU", 0.0)
    gpus = resources.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if num_gpus else 0.0
    cpus = resources.cpus_per_trial
    if cpus is None:
        cpus = max(1, int(num_cpus * gpus / num_gpus)) if gpus and num_gpus else 1
    if cpus > num_cpus or gpus > num_gpus:
        raise InputError(f"a trial asks for {cpus} CPUs and {gpus:g} GPUs; Ray finds {num_cpus:g} and {num_gpus:g}")
    return _Share(cpus, gpus)


class _Stateless:
    """Tune pickles callbacks and stoppers to restore a study from; ours restores from the ledger."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Events(_Stateless, tune.Callback):
    """Hands what Tune sees to the recorder and the progress display."""

    def __init__(self, recorder: Recorder, progress: StudyProgress, plan: Plan, share: _Share, work: Path) -> None:
        self.trials = {trial.identity: trial for trial in plan.to_run}
        self.share = share
        self._first_seed = plan.trials[0].candidate.config.seed
        self._recorder = recorder
        self._progress = progress
        self._work = work
        self._val_accuracy: dict[str, float | None] = {}

    def order(self, trial: Trial) -> Order:
        """What a worker is told to train. Weights are kept of a study's first seed only."""
        config = trial.candidate.config
        return Order(
            identity=trial.identity,
            config=asdict(config),
            images=str(trial.images),
            weights=None if trial.weights is None else str(trial.weights),
            work=str(self._work / trial.identity),
            device="cuda" if self.share.gpus else "cpu",
            num_threads=self.share.cpus,
            keep_model=config.seed == self._first_seed,
        )

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        """A worker begins a trial."""
        identity = _identity(trial)
        self._recorder.started(identity)
        self._progress.started(identity)

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **_: Any
    ) -> None:
        """A worker reported rows, or the end."""
        identity = _identity(trial)
        if "tags" in result:
            self._recorder.tags(identity, result["tags"])
        if "rows" in result:
            rows: list[dict[str, float]] = result["rows"]
            self._recorder.rows(identity, rows)
            self._val_accuracy[identity] = rows[-1].get("val_accuracy", self._val_accuracy.get(identity))
            tell = self._progress.resumed if result["repeated"] else self._progress.stepped
            tell(identity, int(rows[-1]["step"]))
        if "outcome" in result:
            last = self.trials[identity].num_steps
            if "metrics" in result:
                self._recorder.final(identity, {**result["metrics"], "step": last})
            self._end(identity, result["outcome"], result.get("message", ""))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        """A worker raised, or died."""
        identity = _identity(trial)
        error = _error_of(trial)
        artifacts = self._work / identity / ARTIFACTS
        artifacts.mkdir(parents=True, exist_ok=True)
        (artifacts / "traceback.txt").write_text(str(error))
        cause: BaseException = getattr(error, "cause", None) or error
        self._end(identity, "failed", f"{type(cause).__name__}: {_last_line(cause)}")

    def _end(self, identity: str, outcome: Outcome, message: str) -> None:
        work = self._work / identity
        self._recorder.ended(
            identity,
            outcome,
            message=message,
            artifacts=work / ARTIFACTS,
            then=lambda written: clear_work(work) if is_settled(written) else None,
        )
        name = trial_name(self.trials[identity])
        self._progress.ended(identity, name, outcome, self._val_accuracy.get(identity))


class _CtrlC(_Stateless, tune.Stopper):
    """Stops the study when Ctrl-C is pressed; pressed again, leaves at once."""

    def __init__(self, console: Console) -> None:
        self.pressed = False
        self._console = console

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether Tune is to stop every trial."""
        return self.pressed

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While inside, Ctrl-C and SIGTERM set `pressed` instead of raising. Main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._press) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _press(self, *_: object) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
        self._console.print("stopping the trials; press Ctrl-C again to leave at once")


def _identity(trial: TuneTrial) -> str:
    identity: str = trial.config["order"]["identity"]
    return identity


def _error_of(trial: TuneTrial) -> BaseException:
    """What a worker raised: Tune has it on this machine before it is in the study's storage."""
    if trial.pickled_error_file is not None:
        with Path(trial.pickled_error_file).open("rb") as file:
            return cast(BaseException, pickle.load(file))
    text = "" if trial.error_file is None else Path(trial.error_file).read_text()
    return RuntimeError(text or "the worker ended without a word")


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
