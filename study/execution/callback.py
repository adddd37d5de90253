"""What happens to trials while they run: it is recorded and shown, and what fails is judged. Plugs into Ray Tune."""

import pickle
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple, cast

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from rich.filesize import decimal

from study.execution.cluster import ray_is_alive
from study.execution.failures import (
    MOST_ALIKE,
    MOST_LOST,
    CodeChangedError,
    FailureClass,
    RayLostError,
    Signature,
    classify,
    signature,
    told,
)
from study.execution.progress import StudyProgress
from study.execution.recorder import Recorder
from study.execution.searcher import Stateless, Stopper, TrialSearcher
from study.execution.trainable import clear_work
from study.execution.trial_task import TrialTask
from study.labels import trial_label
from study.layout import ARTIFACTS
from study.ledger.locks import Locks, LocksLostError
from study.ledger.schema import BUILT_TAG, VAL_ACCURACY
from study.ledger.states import TrialState
from study.plan import Plan
from study.system.limits import memory_limit, num_killed_for_memory

WORKER_BYTES = 900_000_000
"""Resident memory of a worker that has no model and images yet, measured: torch and timm."""
LOOK_AT_RAY_S = 2.0
"""How often to see whether Ray is alive."""


class TuneCallback(Stateless, tune.Callback):
    """Hands what Tune sees to the recorder and the progress display, and decides about failures.

    Args:
        work: folder of all trials' work folders.

    Attributes:
        stopped: why the study was stopped before its end; empty where it was not.
    """

    def __init__(
        self,
        recorder: Recorder,
        progress: StudyProgress,
        plan: Plan,
        searcher: TrialSearcher,
        stopper: Stopper,
        locks: Locks,
        work: Path,
    ) -> None:
        self.stopped = ""
        self._work = work
        self._searcher = searcher
        self._stopper = stopper
        self._locks = locks
        self._trials = {trial.identity: trial for trial in plan.trials}
        self._any_finished = any(trial.state == TrialState.FINISHED for trial in plan.trials)
        self._recorder = recorder
        self._progress = progress
        self._val_accuracy: dict[str, float | None] = {}
        self._last_step: Counter[str] = Counter()
        self._losses: dict[str, _Loss] = {}
        self._begun: set[str] = set()
        self._signatures: Counter[Signature] = Counter()
        self._built = {
            trial.record.built: trial.identity for trial in plan.trials if trial.record and trial.record.built
        }
        self._ray_seen = time.monotonic()
        self._peak_bytes = 0
        self._num_killed = num_killed_for_memory()

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **_: Any) -> None:
        """Tune would wait for ever for the workers of a Ray that is no more.

        Raises:
            RayLostError: it is no more.
        """
        if self._locks.is_fenced:
            self.stop(f"the study was stopped: {LocksLostError()}")
        if fault := self._recorder.fault or self._searcher.fault:
            self.stop(f"the study was stopped: {fault}")
        if time.monotonic() - self._ray_seen > LOOK_AT_RAY_S:
            if not ray_is_alive():
                raise RayLostError
            self._ray_seen = time.monotonic()

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        """A worker begins a trial."""
        identity = _identity(trial)
        self._stopper.running.add(identity)
        self._begin(identity)
        self._progress.started(identity)

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **_: Any
    ) -> None:
        """A worker reported rows, or the end."""
        identity = _identity(trial)
        if "peak_bytes" in result:
            self._peak_bytes = max(self._peak_bytes, result["peak_bytes"])
        if "tags" in result:
            self._recorder.tags(identity, result["tags"])
            self._stop_where_a_factor_has_no_effect(identity, result["tags"][BUILT_TAG])
        if "rows" in result:
            rows: list[dict[str, float]] = result["rows"]
            self._recorder.rows(identity, rows)
            self._val_accuracy[identity] = rows[-1].get(VAL_ACCURACY, self._val_accuracy.get(identity))
            self._last_step[identity] = int(rows[-1]["step"])
            log = self._progress.resumed if result["repeated"] else self._progress.stepped
            log(identity, int(rows[-1]["step"]))
            if self._stopper("", result):
                self._stopper.running.discard(identity)
        if "state" in result:
            last = self._trials[identity].num_steps
            if "metrics" in result:
                self._recorder.final(identity, {**result["metrics"], "step": last})
            self._any_finished |= result["state"] == TrialState.FINISHED
            self._stopper.running.discard(identity)
            self._end(identity, result["state"], message=result.get("message", ""))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        """A worker raised, or died: the trial runs again, or has failed."""
        identity = _identity(trial)
        self._stopper.running.discard(identity)
        error = _error_of(trial)
        cause: BaseException = getattr(error, "cause", None) or error
        if isinstance(cause, CodeChangedError):
            self.stop(f"the study was stopped: {cause}")
            self._end(identity, TrialState.INTERRUPTED, message="")
            return
        failure = self._class_of(cause)
        message = self._memory_is_short() if failure == "host out of memory" else told(cause)
        if self._stopper.stopping and failure == "lost worker":
            return  # the signal that stops the study has reached the worker, too: the trial is interrupted
        if not self._stopper.stopping and self._runs_again(identity, failure):
            self._progress.again(identity, trial_label(self._trials[identity]), f"{failure}: {message}")
            return
        self._end(identity, TrialState.FAILED, message=message, failure=failure, traceback=str(error))
        self._stop_where_all_fail_alike(signature(cause, str(error)), str(error))

    def _class_of(self, cause: BaseException) -> FailureClass:
        """Return the class of a failure: that the kernel killed a worker for memory, only the kernel's count tells."""
        failure = classify(cause)
        if failure != "lost worker" or num_killed_for_memory() <= self._num_killed:
            return failure
        self._num_killed += 1
        return "host out of memory"

    def _memory_is_short(self) -> str:
        needed = f"up to {decimal(self._peak_bytes)}" if self._peak_bytes else f"more than {decimal(WORKER_BYTES)}"
        return (
            f"memory is short: {decimal(memory_limit())} here, and a trial takes {needed}; "
            "where trials run side by side, --cpus-per-trial lets fewer run at a time"
        )

    def _runs_again(self, identity: str, failure: FailureClass) -> bool:
        if failure == "lost worker":
            step, before = self._last_step[identity], self._losses.get(identity, _Loss(-1, 0))
            loss = _Loss(step, 1 if step > before.step else before.times_in_a_row + 1)
            self._losses[identity] = loss
            if loss.times_in_a_row > MOST_LOST:
                return False
            self._searcher.requeue(identity)
            return True
        for_memory = failure in ("device out of memory", "host out of memory")
        if not for_memory or not self._searcher.can_requeue_exclusively(identity):
            return False
        self._searcher.requeue_exclusively(identity)
        return True

    def _stop_where_all_fail_alike(self, alike: Signature, text: str) -> None:
        self._signatures[alike] += 1
        if self._signatures[alike] >= MOST_ALIKE and not self._any_finished:
            self.stop(f"{text}\nthe study was stopped: its first trials all failed alike, as above")

    def _stop_where_a_factor_has_no_effect(self, identity: str, built: str) -> None:
        """No two trials may build the same: what tells them apart would be a factor of nothing."""
        twin = self._built.setdefault(built, identity)
        if twin != identity:
            one, other = (self._trials[each].candidate.config.flat() for each in (twin, identity))
            differing = [f"{name} {one[name]} and {other[name]}" for name in one if one[name] != other[name]]
            self.stop(
                f"the study was stopped: two of its trials differ in {', '.join(differing)}, and exactly the same was "
                "built for both: there it has no effect; leave one of them out with `keep`"
            )

    def stop(self, why: str) -> None:
        """Stop the study, and say why at its end."""
        self.stopped = self.stopped or why
        self._stopper.stop()

    def _begin(self, identity: str) -> None:
        self._begun.add(identity)
        self._recorder.started(identity, self._searcher.found.get(identity))

    def _let_go(self, identity: str, written: TrialState) -> None:
        if written.is_terminal:
            clear_work(self._work / identity)
        self._locks.release(identity)

    def _end(self, identity: str, state: TrialState, *, message: str, failure: str = "", traceback: str = "") -> None:
        work = self._work / identity
        self._searcher.ended(identity)
        if identity not in self._begun:  # no worker came to begin it
            self._begin(identity)
        self._recorder.ended(
            identity,
            state,
            message=message,
            failure=failure,
            traceback=traceback,
            artifacts=work / ARTIFACTS,
            then=lambda written: self._let_go(identity, written),
        )
        name = trial_label(self._trials[identity])
        self._progress.ended(identity, name, state, self._val_accuracy.get(identity))


class _Loss(NamedTuple):
    """That a trial's worker was lost: after which step, and how often since it came no further."""

    step: int
    times_in_a_row: int


def _identity(trial: TuneTrial) -> str:
    task: TrialTask = trial.config["task"]
    return task.identity


def _error_of(trial: TuneTrial) -> BaseException:
    """What a worker raised: Tune has it on this machine before it is in the study's storage."""
    if trial.pickled_error_file is not None:
        with Path(trial.pickled_error_file).open("rb") as file:
            return cast(BaseException, pickle.load(file))
    text = "" if trial.error_file is None else Path(trial.error_file).read_text()
    return RuntimeError(text or "the worker ended without a word")
