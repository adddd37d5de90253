"""The state of studies from the ledger alone, for whoever watches them from elsewhere."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict

from study.forecast.trial_costs import CPU, TrialCosts
from study.labels import trial_label
from study.ledger.ledger import Ledger
from study.ledger.liveness import Liveness
from study.ledger.records import RunInfo, TrialRecord
from study.ledger.schema import DEVICE_TAG, LOG_TAG, VAL_ACCURACY
from study.ledger.states import TrialState
from study.live.remaining_time import RemainingTime
from study.live.snapshot import cells_of, find_phase, summarize_trials
from study.live.study_state import Phase, StudyState, Totals
from study.live.view import end_news, trial_line
from study.plan import Plan, first_of_each
from study.trial import Trial


class LedgerFeed:
    """State of studies as the ledger has it: as new as the last write of their launch, which follows within seconds.

    Args:
        plans: of the studies, from `records`.
        records: all trials of the ledger by identity.
        measure: returns a plan with what its metric needs (`study.analysis.measured`).
        next_steps: what a user may do next in each phase.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        records: Mapping[str, TrialRecord],
        ledger: Ledger,
        *,
        measure: Callable[[Plan], Plan],
        next_steps: Mapping[Phase, str],
    ) -> None:
        self._plans = plans
        self._records = dict(records)
        self._ledger = ledger
        self._measure = measure
        self._next_steps = next_steps
        self._liveness = Liveness(ledger)
        self._launches = self._of_studies(self._liveness.living())
        self._num_slots = 1
        self._ended = {trial.identity for trial in self._trials.values() if _has_ended(trial)}

    def confirm(self) -> None:
        """Wait until the launches have shown that they live: on a server, this takes seconds."""
        self._launches = self._of_studies(self._liveness.wait_for_heartbeat())

    def refresh(self) -> list[str]:
        """Read the ledger again; return a line for each trial that has ended since."""
        living = self._liveness.living()
        self._records |= self._ledger.changed_trials()  # read last: a launch ends after its trials
        self._plans = [plan.with_records(self._records) for plan in self._plans]
        self._launches = self._of_studies(living)
        trials = self._trials
        ended = [trial for trial in trials.values() if _has_ended(trial) and trial.identity not in self._ended]
        self._ended = {trial.identity for trial in trials.values() if _has_ended(trial)}
        totals = self.totals() if ended else None
        return [trial_line(totals, trial_label(trial), _news(trial)) for trial in ended if totals]

    def totals(self) -> Totals:
        """Return the numbers of the state, as last read."""
        trials, running = self._trials, self._running()
        num_failed = sum(trial.state == TrialState.FAILED for trial in trials.values())
        start_ms = min((each.start_ms for each in self._launches.values()), default=0)
        elapsed_s = max(0.0, time.time() - start_ms / 1000) if self._launches else None
        remaining = self._remaining(trials.values())
        return Totals(
            phase=find_phase(self._plans, is_running=bool(self._launches), num_failed=num_failed),
            num_trials=len(trials) + sum(plan.num_unknown for plan in self._plans),
            num_done=sum(trial.state.is_terminal for trial in trials.values()),
            num_running=len(running),
            num_failed=num_failed,
            share_done=remaining.share_done,
            elapsed_s=elapsed_s,
            eta_s=None if elapsed_s is None else remaining.eta_s(elapsed_s, list(running.values())),
        )

    def state(self) -> StudyState:
        """Return the state, as last read."""
        totals, trials, running = self.totals(), self._trials, self._running()
        num_unknown = totals.num_trials - len(trials)
        logs = [each.tags[LOG_TAG] for each in self._launches.values() if LOG_TAG in each.tags]
        return StudyState(
            **asdict(totals),
            **summarize_trials(trials.values(), running, num_unknown)._asdict(),
            studies=tuple(plan.space.name for plan in self._plans),
            cells=tuple(cell for plan in self._plans for cell in cells_of(self._measure(plan), running)),
            next_step=self._next_steps.get(totals.phase, ""),
            log=logs[0] if logs else "",
        )

    @property
    def _trials(self) -> dict[str, Trial]:
        return first_of_each(trial for plan in self._plans for trial in plan.all_trials)

    def _of_studies(self, launches: Mapping[str, RunInfo]) -> dict[str, RunInfo]:
        """Return the launches of the studies, and those that train a trial of theirs."""
        tags = [plan.space.tags.items() for plan in self._plans]
        records = [trial.record for trial in self._trials.values() if trial.record is not None]
        training = {record.launch for record in records if record.state == TrialState.RUNNING}
        return {
            run_id: launch
            for run_id, launch in launches.items()
            if run_id in training or any(each <= launch.tags.items() for each in tags)
        }

    def _running(self) -> dict[str, Trial]:
        found = {key: trial for key, trial in self._trials.items() if self._is_running(trial)}
        self._num_slots = max(self._num_slots, len(found))
        return found

    def _is_running(self, trial: Trial) -> bool:
        return trial.state == TrialState.RUNNING and trial.record is not None and trial.record.launch in self._launches

    def _remaining(self, trials: Collection[Trial]) -> RemainingTime:
        of_launch = [trial for trial in trials if trial.record and trial.record.launch in self._launches]
        devices = {trial.record.tags.get(DEVICE_TAG, CPU) for trial in of_launch if trial.record}
        costs = TrialCosts(trials, self._records.values(), CPU if devices <= {CPU} else "cuda")
        remaining = RemainingTime(trials, self._plans, costs, self._num_slots)
        for trial in trials:
            is_here = trial.record is not None and trial.record.launch in self._launches
            done = trial.num_steps if trial.state == TrialState.FAILED and is_here else trial.steps_done
            remaining.reach(trial, done, is_earlier=not is_here)
        return remaining


def _has_ended(trial: Trial) -> bool:
    return trial.state.is_terminal or trial.state == TrialState.FAILED


def _news(trial: Trial) -> str:
    return end_news(trial.state, trial.record.metrics.get(VAL_ACCURACY) if trial.record else None)
