"""Results of a study as they were at an earlier time."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from revit.errors import InputError
from study.ledger.records import RunInfo, TrialRecord, study_tags
from study.ledger.schema import CELL_PREFIX, NUM_TEST_TAG, PHASE_TAG, RECIPE_TAG, SCALE_TAG, SEED_TAG, TEST_PHASE
from study.ledger.states import TrialState
from study.plan import Plan
from study.trial import Trial

MIN_ID_CHARS = 6
"""Characters by which a run is named, the first of its id."""


def time_of(text: str, launches: Mapping[str, RunInfo]) -> float:
    """Return the time that a text names, in seconds since 1970: a date in local time, or when a launch began.

    Args:
        text: `2026-11-01`, `2026-11-01 14:30`, or the id of a launch's run, or how it begins.
        launches: by the ids of their runs.

    Raises:
        InputError: neither a date, nor one launch of the store.
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        pass
    found = [info for run_id, info in launches.items() if len(text) >= MIN_ID_CHARS and run_id.startswith(text)]
    if len(found) != 1:
        right = "a date as 2026-11-01 or 2026-11-01T14:30, or the id of the run of a launch"
        raise InputError(f"--before = {text}: must be {right}")
    return found[0].start_ms / 1000


def plan_before(plan: Plan, records: Mapping[str, TrialRecord], time_s: float) -> Plan:
    """Return a plan whose trials have the newest results that their cells had before a time, by whatever setup.

    Args:
        records: every trial of the ledger by identity.
        time_s: in seconds since 1970.
    """
    newest: dict[tuple[str | None, ...], TrialRecord] = {}
    for record in records.values():
        if record.state == TrialState.FINISHED and 0 < record.end_s < time_s:
            key = _key(record.tags, plan)
            if key not in newest or newest[key].end_s < record.end_s:
                newest[key] = record
    return replace(plan, trials=[_as_before(trial, newest.get(_trial_key(trial, plan))) for trial in plan.trials])


def _trial_key(trial: Trial, plan: Plan) -> tuple[str | None, ...]:
    candidate = trial.candidate
    tags = study_tags(plan.space.name, cell=candidate.cell, point=candidate.point)
    return _key({**tags, **plan.space.tags, SEED_TAG: str(candidate.config.seed)}, plan)


def _key(tags: Mapping[str, str], plan: Plan) -> tuple[str | None, ...]:
    """Return what a record is the result of: a tested cell and a seed, by recipe and scale."""
    names = (f"{CELL_PREFIX}{plan.space.name}", SEED_TAG, RECIPE_TAG, SCALE_TAG)
    return *(tags.get(name) for name in names), tags.get(PHASE_TAG, TEST_PHASE)


def _as_before(trial: Trial, record: TrialRecord | None) -> Trial:
    """Return a trial with an earlier record in place of its own."""
    earlier = replace(trial, record=record, staleness_reason="", unmeasured="", replicates=None)
    if record is None:
        return earlier
    num_test = int(record.tags.get(NUM_TEST_TAG, trial.num_test))
    return replace(earlier, identity=record.identity, num_test=num_test, awaits="")
