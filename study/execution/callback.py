"""The reaction to every event of a running trial: record, show, retry or stop. Plugs into Ray Tune."""

import pickle
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from rich.filesize import decimal

from revit.errors import InputError
from study.execution.failures import (
    MAX_LOSSES,
    MAX_SAME_FAILURES,
    CodeChangedError,
    FailureClass,
    NodeUnfitError,
    classify,
    signature_of,
    summarize,
)
from study.execution.node_pool import NodePool
from study.execution.progress import StudyProgress
from study.execution.ray_watch import RayWatch
from study.execution.recorder import Recorder
from study.execution.searcher import TrialSearcher
from study.execution.stopper import Stateless, Stopper
from study.execution.trial_task import TrialTask
from study.forecast.trial_memory import WORKER_BYTES
from study.ledger.locks import Locks, LocksLostError
from study.ledger.schema import BUILT_TAG, DEVICE_TAG, TRAIN_TIME_S, VAL_ACCURACY
from study.ledger.states import TrialState
from study.plan import Plan
from study.system.limits import memory_limit, num_killed_for_memory
from study.trial import Trial

BACKLOG_POLL_S = 0.1
"""Time between looks at whether events can be taken again."""


class TuneCallback(Stateless, tune.Callback):
    """Passes events of trials to the recorder and the progress display, and decides about failures.

    Attributes:
        stop_reason: why studies were stopped before their end, a line each; empty where none was.
    """

    def __init__(
        self,
        recorder: Recorder,
        progress: StudyProgress,
        plans: Sequence[Plan],
        known: Mapping[str, Trial],
        searcher: TrialSearcher,
        stopper: Stopper,
        locks: Locks,
        pool: NodePool,
    ) -> None:
        self.stop_reason = ""
        self._is_stopped = False
        self._searcher = searcher
        self._stopper = stopper
        self._locks = locks
        self._pool = pool
        self._trials = known
        self._plans = {plan.space.name: plan for plan in plans}
        trials = list(known.values())
        self._any_finished = {trial.study_name for trial in trials if trial.state == TrialState.FINISHED}
        self._recorder = recorder
        self._progress = progress
        self._val_accuracy: dict[str, float | None] = {}
        self._devices: dict[str, str] = {}
        self._last_step: Counter[str] = Counter()
        self._artifacts: dict[str, Mapping[str, int]] = {}
        self._losses: dict[str, tuple[int, int]] = {}  # step of the last lost worker, and losses in a row there
        self._signatures: Counter[tuple[str, ...]] = Counter()
        self._built = {
            (trial.study_name, trial.record.built): trial.identity
            for trial in trials
            if trial.record and trial.record.built
        }
        self._ray_watch = RayWatch(progress.show)
        self._peak_bytes = WORKER_BYTES
        self._num_killed = num_killed_for_memory()

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **_: Any) -> None:
        """Stop the study where nothing can be recorded any more; detect a dead Ray: Tune would wait for it forever.

        While too many events wait to be written, Tune's loop waits, too, and workers wait with their next report. A
        study that stops does not wait: what its workers report last is taken in any case.

        Raises:
            RayLostError: Ray is dead, or has lost the resources that trials wait for.
        """
        self._progress.refresh()
        self.stop_if_hopeless()
        while self._recorder.is_full and not self._stopper.stopping:
            time.sleep(BACKLOG_POLL_S)
            self._progress.refresh()
            self.stop_if_hopeless()
        if self._ray_watch.check(is_idle=not self._stopper.running):
            self._follow_nodes()

    def _follow_nodes(self) -> None:
        """Use nodes that were added, and no more than are left. Where none is, trials wait for one."""
        if not self._pool.has_changed():
            return
        try:
            self._searcher.use_grant(self._pool.grant())
        except InputError as error:
            self._progress.show(f"trials wait for a node: {error}")

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        """Record and show that a worker starts a trial."""
        identity = _identity(trial)
        self._stopper.running.add(identity)
        self._searcher.start_trial(identity)
        self._recorder.start_trial(identity)
        self._progress.start_trial(identity)

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **_: Any
    ) -> None:
        """Record and show what a worker reports: tags, rows, or the end of the trial."""
        identity = _identity(trial)
        self._peak_bytes = max(self._peak_bytes, result.get("peak_bytes", 0))
        self._artifacts[identity] = result.get("artifacts", {})
        if "tags" in result:
            self._devices[identity] = result["tags"][DEVICE_TAG]
            self._recorder.add_tags(identity, result["tags"])
            self._progress.begin_training()
            self._check_built(identity, result["tags"][BUILT_TAG])
        if "rows" in result:
            rows: list[dict[str, float]] = result["rows"]
            self._recorder.add_rows(identity, rows)
            for row in rows:
                self._val_accuracy[identity] = row.get(VAL_ACCURACY, self._val_accuracy.get(identity))
            self._last_step[identity] = int(rows[-1]["step"])
            self._progress.add_rows(identity, rows, is_replay=result["is_replay"])
            if TRAIN_TIME_S in rows[-1] and identity in self._devices:
                self._searcher.measure_trial(
                    identity, self._last_step[identity], rows[-1][TRAIN_TIME_S], self._devices[identity]
                )
            if self._stopper.has_saved(result):
                self._stopper.running.discard(identity)
        if "state" in result:
            if result["state"] in (TrialState.FINISHED, TrialState.PRUNED):
                self._any_finished.add(self._trials[identity].study_name)
            self._stopper.running.discard(identity)
            self._end(identity, result["state"], message=result.get("message", ""))

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        """Let Tune forget what a trial reported. It keeps every trial until the launch ends."""
        trial.run_metadata.last_result = {"identity": _identity(trial)}  # Tune prints a line where nothing is left
        trial.run_metadata.metric_analysis, trial.run_metadata.metric_n_steps = {}, {}

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        """Requeue the trial of a worker that raised or died, or record that it failed."""
        identity = _identity(trial)
        self._stopper.running.discard(identity)
        if not self._searcher.is_running(identity):
            return  # it has ended: its worker died after its last report
        error = error_of(trial)
        cause: BaseException = getattr(error, "cause", None) or error
        if isinstance(cause, CodeChangedError):
            self.stop(f"the study was stopped: {cause}")
            self._end(identity, TrialState.INTERRUPTED)
            return
        failure = self._class_of(cause)
        message = self._out_of_memory_message() if failure == "host out of memory" else summarize(cause)
        if self._stopper.stopping and failure in ("lost worker", "unfit node"):
            return  # the stopping signal has reached the worker, too: the trial is interrupted
        if isinstance(cause, NodeUnfitError):
            self._leave_out(cause, identity)
            return
        if not self._stopper.stopping and self._requeue(identity, failure):
            self._progress.requeue_trial(identity, f"{failure}: {message}")
            return
        self._end(identity, TrialState.FAILED, message=message, failure=failure, traceback=str(error))
        study = self._trials[identity].study_name
        signature = study, *signature_of(cause, str(error))
        self._signatures[signature] += 1
        if self._signatures[signature] >= MAX_SAME_FAILURES and study not in self._any_finished:
            self._stop_study(study, "its first trials all failed for the same reason, see above", str(error))

    def _leave_out(self, unfit: NodeUnfitError, identity: str) -> None:
        """Give the node no further trial, and its trial to another node. Where none is left, stop the study."""
        line = self._pool.exclude(unfit.node_id, unfit.reason)
        try:
            self._searcher.use_grant(self._pool.grant())
        except InputError as error:
            self.stop(f"the study was stopped: {error}")
            return  # the trial is interrupted
        self._searcher.requeue(identity)
        self._progress.requeue_trial(identity, line)

    def _class_of(self, cause: BaseException) -> FailureClass:
        """Return the class of a failure. Only a counter of the kernel shows that it killed a worker for memory."""
        failure = classify(cause)
        if failure != "lost worker" or num_killed_for_memory() <= self._num_killed:
            return failure
        self._num_killed += 1
        return "host out of memory"

    def _out_of_memory_message(self) -> str:
        needed = decimal(self._peak_bytes)
        return (
            f"memory is short: {decimal(memory_limit())} here, and a trial takes {needed} or more; "
            "where trials run side by side, --cpus-per-trial lets fewer run at a time"
        )

    def _requeue(self, identity: str, failure: FailureClass) -> bool:
        """Requeue a trial if its failure is worth a retry; return whether it was."""
        if failure == "lost worker":
            step, (lost_step, num_in_a_row) = self._last_step[identity], self._losses.get(identity, (-1, 0))
            num_in_a_row = 1 if step > lost_step else num_in_a_row + 1
            self._losses[identity] = step, num_in_a_row
            if num_in_a_row > MAX_LOSSES:
                return False
            self._searcher.requeue(identity)
            return True
        is_out_of_memory = failure in ("device out of memory", "host out of memory")
        return is_out_of_memory and self._searcher.requeue_exclusively(identity)

    def _check_built(self, identity: str, built: str) -> None:
        """Stop the study where two trials built identical training setups: their differing axis has no effect."""
        study = self._trials[identity].study_name
        duplicate = self._built.setdefault((study, built), identity)
        if duplicate != identity:
            one, other = (self._trials[each].candidate.config.flat() for each in (duplicate, identity))
            differing = [f"{name} {one[name]} and {other[name]}" for name in one if one[name] != other[name]]
            self._stop_study(
                study,
                f"two of its trials differ in {', '.join(differing)}, but built identical training setups: it has no "
                "effect there; leave one of them out with `constraint`",
            )

    def stop_if_hopeless(self) -> None:
        """Stop the study where nothing can be recorded, or no trial can be started any more."""
        if self._locks.is_fenced:
            self.stop(f"the study was stopped: {LocksLostError()}")
        if error := self._recorder.error or self._searcher.error:
            self.stop(f"the study was stopped: {error}")

    def stop(self, reason: str) -> None:
        """Stop all studies, and keep the first reason."""
        if not self._is_stopped:
            self._add_reason(reason)
        self._is_stopped = True
        self._stopper.stop()

    def _stop_study(self, study: str, reason: str, details: str = "") -> None:
        """Stop one study. Others go on, with the trials that they share with it."""
        others = [plan for name, plan in self._plans.items() if name != study]
        if not others:
            self.stop("\n".join(filter(None, [details, f"the study was stopped: {reason}"])))
        elif not self._searcher.is_withdrawn(study):
            self._searcher.withdraw(study, {trial.identity for plan in others for trial in plan.to_run})
            self._add_reason(details, f"the study {study} was stopped: {reason}")

    def _add_reason(self, *lines: str) -> None:
        self.stop_reason = "\n".join(filter(None, [self.stop_reason, *lines]))

    def _end(self, identity: str, state: TrialState, **details: str) -> None:
        self._searcher.end_trial(identity)
        self._stopper.pruning.end(identity, state)
        self._recorder.end_trial(identity, state, artifacts=self._artifacts.get(identity, {}), **details)
        shown = {name: details[name] for name in ("failure", "message") if name in details}
        self._progress.end_trial(identity, state, self._val_accuracy.get(identity), **shown)


def _identity(trial: TuneTrial) -> str:
    task: TrialTask = trial.config["task"]
    return task.identity


def error_of(trial: TuneTrial) -> BaseException:
    """Return what a worker raised: Tune keeps it on this machine before it is in the study's storage."""
    if trial.pickled_error_file is not None:
        with Path(trial.pickled_error_file).open("rb") as file:
            return cast(BaseException, pickle.load(file))
    return RuntimeError(Path(trial.error_file).read_text())
