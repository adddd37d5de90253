"""The state of studies, made from their trials with their records."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from study.analysis.results import cell_table
from study.labels import label, trial_label
from study.ledger.records import TrialRecord
from study.ledger.schema import IMAGES_PER_S, MESSAGE_TAG, VAL_ACCURACY
from study.ledger.states import TrialState
from study.live.study_state import CellState, Phase, RunningTrial
from study.plan import Plan
from study.trial import Trial


class TrialSummary(NamedTuple):
    """Part of a `StudyState` about single trials."""

    counts: Mapping[str, int]
    running: tuple[RunningTrial, ...]
    failures: Mapping[str, int]
    newest_failure: str


def summarize_trials(trials: Collection[Trial], running: Collection[str], num_unknown: int) -> TrialSummary:
    """Return the summary of some trials.

    Args:
        trials: known trials, each identity once.
        running: identities of those that run. Others whose record says so were interrupted.
        num_unknown: trials that a search has still to choose.
    """
    states = {trial.identity: _state(trial, running) for trial in trials}
    failed = [trial for trial in trials if states[trial.identity] == TrialState.FAILED]
    num_diverged = sum(state == TrialState.DIVERGED for state in states.values())
    counts = Counter(state.value for state in states.values())
    counts[TrialState.NEW.value] += num_unknown
    kinds = Counter(trial.record.failure or "unknown" for trial in failed if trial.record)
    messages = [trial.record.tags.get(MESSAGE_TAG, "") for trial in failed if trial.record]
    return TrialSummary(
        counts={state.value: counts[state.value] for state in TrialState if counts[state.value]},
        running=tuple(_running(trial) for trial in trials if states[trial.identity] == TrialState.RUNNING),
        failures={**kinds, **({"diverged": num_diverged} if num_diverged else {})},
        newest_failure=messages[-1] if messages else "",
    )


def find_phase(plans: Sequence[Plan], *, is_running: bool, num_failed: int) -> Phase:
    """Return what happens to the studies.

    Args:
        is_running: a launch trains their trials.
    """
    if is_running:
        return Phase.RUNNING
    if all(plan.is_complete for plan in plans):
        return Phase.FINISHED
    return Phase.FAILED if num_failed else Phase.INCOMPLETE


def cells_of(plan: Plan, running: Collection[str]) -> Iterator[CellState]:
    """Yield the cells of a study in the order of its table."""
    shown = replace(plan, trials=[_as_shown(trial, running) for trial in plan.trials])
    axes = list(plan.space.scientific)
    for row in cell_table(shown).to_dict("records"):
        num_of_cell = len(plan.seeds)
        yield CellState(
            study=plan.space.name,
            cell=label({axis: row[axis] for axis in axes}),
            metric=plan.space.metric,
            mean=_known(row["mean"]),
            low=_known(row["low"]),
            high=_known(row["high"]),
            num_finished=int(row["n"]),
            num_seeds=num_of_cell,
            status=", ".join(filter(None, [f"{row['diverged']} diverged" if row["diverged"] else "", row["missing"]])),
        )


CellKey = tuple[str, str, int]
"""Study, cell, seed of a tested trial: known before a search has chosen its point."""


def key_of(trial: Trial) -> CellKey:
    """Return the place of a tested trial in its study's table."""
    return trial.study_name, label(trial.candidate.cell), trial.candidate.config.seed


def with_records(plan: Plan, records: Mapping[str, TrialRecord], decided: Mapping[CellKey, Trial]) -> Plan:
    """Return a plan with newer records of its trials, for its cells.

    Args:
        decided: tested trials that a search may have chosen since.
    """
    trials = []
    for trial in plan.trials:
        known = decided.get(key_of(trial), trial) if trial.awaits else trial
        trials.append(replace(known, record=records.get(known.identity, known.record)))
    return replace(plan, trials=trials)


def _state(trial: Trial, running: Collection[str]) -> TrialState:
    if trial.identity in running:
        return TrialState.RUNNING
    return TrialState.INTERRUPTED if trial.state == TrialState.RUNNING else trial.state


def _as_shown(trial: Trial, running: Collection[str]) -> Trial:
    """Return a trial whose record has the state in which it is shown."""
    state = _state(trial, running)
    return trial if trial.record is None or trial.awaits else replace(trial, record=replace(trial.record, state=state))


def _running(trial: Trial) -> RunningTrial:
    metrics = {} if trial.record is None else trial.record.metrics
    rate = metrics.get(IMAGES_PER_S)
    return RunningTrial(
        study=trial.study_name,
        trial=trial_label(trial),
        step=0 if trial.record is None else trial.record.last_step,
        num_steps=trial.num_steps,
        steps_per_s=None if rate is None else rate / trial.candidate.config.batch_size,
        val_accuracy=metrics.get(VAL_ACCURACY),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
