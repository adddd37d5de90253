"""The progress of a launch on the terminal, from what its workers report."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console

from study.forecast.trial_costs import TrialCosts
from study.labels import trial_label
from study.ledger.records import TrialRecord
from study.ledger.schema import FAILURE_TAG, MESSAGE_TAG
from study.ledger.states import TrialState
from study.live.remaining_time import RemainingTime
from study.live.screen import Screen
from study.live.snapshot import cells_of, key_of, summarize_trials, with_records
from study.live.study_state import Phase, StudyState, Totals
from study.live.view import end_news, trial_line
from study.plan import Plan
from study.trial import Trial

NEXT_STEP = "Ctrl-C stops the trials and keeps what they did; the same command resumes"
"""The next step of a user while a study runs."""
NEW_RECORD: Mapping[str, Any] = {
    "run_id": "",
    "state": TrialState.NEW,
    "last_step": 0,
    "metrics": {},
    "params": {},
    "tags": {},
}
"""Record of a trial that has none in the ledger, beside its identity."""


class StudyProgress:
    """One live view of a launch on a terminal; elsewhere a line for each trial that ends, and one a minute.

    Records of trials are followed in memory: the ledger may be slow, or unavailable for a while.

    Args:
        plans: of the studies.
        trials: known trials by identity; others may be added later.
        costs: expected times of trials, corrected by others as trials end.
        num_slots: trials that may run at a time.
        log: file with the output of Ray and its workers.
    """

    def __init__(
        self,
        console: Console,
        plans: Sequence[Plan],
        trials: Mapping[str, Trial],
        costs: TrialCosts,
        num_slots: int,
        log: str = "",
    ) -> None:
        self._plans = plans
        self._trials = trials
        self._log = log
        self._num_trials = len(trials) + sum(plan.num_unknown for plan in plans)
        self._records: dict[str, TrialRecord] = {}
        self._num_done = sum(trial.state.is_terminal for trial in trials.values())
        self._failed: set[str] = set()
        self._running: set[str] = set()
        self._began_s = time.monotonic()
        self._training_s: float | None = None
        self._time = RemainingTime(trials.values(), plans, costs, num_slots)
        for trial in trials.values():
            self._time.reach(trial, trial.steps_done, is_earlier=True)
        self._screen = Screen(console, self._make_state, self._make_totals)

    def __enter__(self) -> "StudyProgress":
        self._screen.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._screen.__exit__()

    def show(self, line: str) -> None:
        """Show a line about the whole launch."""
        self._screen.print(line)

    def refresh(self) -> None:
        """Show the state as it is now, if it is time."""
        self._screen.refresh()

    def start_trial(self, identity: str) -> None:
        """Take note that a trial runs."""
        self._running.add(identity)
        self._failed.discard(identity)
        self._change(identity, state=TrialState.RUNNING)

    def begin_training(self) -> None:
        """Take note that a trial trains. Before the first one does, workers import for seconds."""
        self._training_s = self._training_s or time.monotonic()

    def add_rows(self, identity: str, rows: Sequence[Mapping[str, float]], *, is_replay: bool) -> None:
        """Take note of what a trial measured; steps of a replay took no time of this launch."""
        metrics = {**self._record(identity).metrics}
        for row in rows:
            metrics.update(row)
        step = int(metrics.pop("step"))
        self._change(identity, metrics=metrics, last_step=step)
        self._time.reach(self._trials[identity], step, is_earlier=is_replay)

    def requeue_trial(self, identity: str, reason: str) -> None:
        """Show that a trial stopped, and will resume by itself; silently where the reason is empty."""
        self._running.discard(identity)
        if reason:
            self._print(identity, f"resumes after: {reason}")

    def end_trial(
        self, identity: str, state: TrialState, val_accuracy: float | None, *, failure: str = "", message: str = ""
    ) -> None:
        """Show that a trial ended.

        Args:
            val_accuracy: from 0 to 1, None where it has none.
            failure, message: class of its failure, and one line; empty where it did not fail.
        """
        self._running.discard(identity)
        tags = {**self._record(identity).tags, FAILURE_TAG: failure, MESSAGE_TAG: message}
        self._change(identity, state=state, tags=tags)
        if state.is_terminal:
            self._num_done += 1
        if state == TrialState.FAILED:
            self._failed.add(identity)
        if state != TrialState.INTERRUPTED:
            trial = self._trials[identity]
            self._time.reach(trial, trial.num_steps)
        if not self._screen.is_live or state == TrialState.FAILED:
            self._print(identity, end_news(state, val_accuracy))

    def _print(self, identity: str, news: str) -> None:
        self._screen.print(trial_line(self._make_totals(), trial_label(self._trials[identity]), news))

    def _make_totals(self) -> Totals:
        now_s = time.monotonic()
        training_s = 0.0 if self._training_s is None else now_s - self._training_s
        return Totals(
            phase=Phase.RUNNING,
            num_trials=max(self._num_trials, len(self._trials)),
            num_done=self._num_done,
            num_running=len(self._running),
            num_failed=len(self._failed),
            share_done=self._time.share_done,
            elapsed_s=now_s - self._began_s,
            eta_s=self._time.eta_s(training_s, [self._trials[identity] for identity in self._running]),
        )

    def _make_state(self) -> StudyState:
        totals = self._make_totals()
        trials = [replace(trial, record=self._records.get(key, trial.record)) for key, trial in self._trials.items()]
        summary = summarize_trials(trials, self._running, totals.num_trials - len(trials))
        decided = {key_of(trial): trial for trial in trials if trial.candidate.config.test}
        cells = [
            cell for plan in self._plans for cell in cells_of(with_records(plan, self._records, decided), self._running)
        ]
        return StudyState(
            **asdict(totals),
            **summary._asdict(),
            studies=tuple(plan.space.name for plan in self._plans),
            cells=tuple(cells),
            next_step=NEXT_STEP,
            log=self._log,
        )

    def _record(self, identity: str) -> TrialRecord:
        trial = self._trials[identity]
        return self._records.get(identity) or trial.record or TrialRecord(identity=identity, **NEW_RECORD)

    def _change(self, identity: str, **changes: object) -> None:
        self._records[identity] = replace(self._record(identity), **changes)  # type: ignore[arg-type]
