"""Runs the trials of a plan on Ray Tune. With trainable.py, the only place that knows Ray."""

import logging
import os
import pickle
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from rich.console import Console

from revit.architectures import MODELS
from revit.errors import InputError
from study.ledger import Ledger, Outcome
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
    """Raise InputError for what can be known to fail before Ray starts."""
    for name in sorted({trial.candidate.config.model.name for trial in trials} - MODELS.keys()):
        from revit.models import check_model

        check_model(name)
    if resources.gpus_per_trial:
        import torch

        there = torch.cuda.device_count()
        if resources.gpus_per_trial > there:
            raise InputError(f"--gpus-per-trial = {resources.gpus_per_trial:g}: this machine has {there}")
    cpus = os.cpu_count() or 1
    if resources.cpus_per_trial is not None and resources.cpus_per_trial > cpus:
        raise InputError(f"--cpus-per-trial = {resources.cpus_per_trial}: this machine has {cpus}")


def run_plan(plan: Plan, ledger: Ledger, console: Console, resources: Resources, tags: dict[str, str]) -> RunResult:
    """Train every trial of the plan that is not settled; write all that happens to the ledger.

    Trials that fail do not raise: their outcomes and messages are in the result.

    Args:
        tags: of the launch's run, beside its study's name.
    """
    trials = plan.to_run
    study = plan.space.name
    launch = ledger.open_launch(study, tags)
    recorder = Recorder(ledger, launch=launch, study=study, trials=trials)
    progress = StudyProgress(console, trials)
    events = _Events(recorder, progress, plan, ledger.root / "work")
    stopper = _CtrlC(console)
    try:
        with progress, stopper.listening():
            _run_tune(events, stopper, resources, storage=ledger.root / "tune", name=launch)
    finally:
        recorder.close(interrupted=stopper.pressed)
        shutil.rmtree(ledger.root / "tune" / launch, ignore_errors=True)
    return RunResult(outcomes=recorder.outcomes, messages=events.messages, interrupted=stopper.pressed)


def _run_tune(events: "_Events", stopper: "_CtrlC", resources: Resources, *, storage: Path, name: str) -> None:
    start_ray()
    cpus, gpus = _share(resources, ray.cluster_resources())  # type: ignore[no-untyped-call]  # Ray leaves it so
    orders = [asdict(events.order(trial, max(1, int(cpus)))) for trial in events.trials.values()]
    tuner = tune.Tuner(
        tune.with_resources(train_trial, {"cpu": cpus, "gpu": gpus}),
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


def _share(resources: Resources, cluster: dict[str, float]) -> tuple[float, float]:
    """CPUs and GPUs of one trial.

    A small model on a CPU is faster on one thread than on two (measured: 824 against 695 images/s).
    """
    num_gpus = cluster.get("GPU", 0)
    gpus = resources.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if num_gpus else 0.0
    cpus = resources.cpus_per_trial
    if cpus is None:
        cpus = max(1, int(cluster["CPU"] * gpus / num_gpus)) if num_gpus and gpus else 1
    return cpus, gpus


class _Stateless:
    """Tune pickles callbacks and stoppers to restore a study from; ours restores from the ledger."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Events(_Stateless, tune.Callback):
    """Hands what Tune sees to the recorder and the progress display."""

    def __init__(self, recorder: Recorder, progress: StudyProgress, plan: Plan, work: Path) -> None:
        self.trials = {trial.identity: trial for trial in plan.to_run}
        self.messages: dict[str, str] = {}
        self._first_seed = plan.trials[0].candidate.config.seed
        self._recorder = recorder
        self._progress = progress
        self._work = work
        self._val_accuracy: dict[str, float | None] = {}

    def order(self, trial: Trial, num_threads: int) -> Order:
        """What a worker is told to train. Weights are kept of a study's first seed only."""
        config = trial.candidate.config
        return Order(
            identity=trial.identity,
            config=asdict(config),
            images=str(trial.images),
            weights=None if trial.weights is None else str(trial.weights),
            work=str(self._work / trial.identity),
            num_threads=num_threads,
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
        if "rows" in result:
            rows: list[dict[str, float]] = result["rows"]
            self._recorder.rows(identity, rows)
            self._val_accuracy[identity] = rows[-1].get("val_accuracy", self._val_accuracy.get(identity))
            self._progress.stepped(identity, int(rows[-1]["step"]))
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
        if message:
            self.messages[identity] = message
        work = self._work / identity
        self._recorder.ended(
            identity,
            outcome,
            message=message,
            artifacts=work / ARTIFACTS,
            then=lambda: clear_work(work) if outcome != "failed" else None,
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
