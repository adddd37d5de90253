"""Time that the trials of a study took: those of its table, of its searches, those that count for nothing."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from study.ledger.records import TrialRecord
from study.ledger.schema import DEVICE_TAG, WORKERS_TAG
from study.ledger.states import TrialState
from study.plan import Plan

TESTED, SEARCHED, UNFINISHED, OTHERS = (
    "finished, in the table",
    "of searches",
    "without a result: diverged, failed, interrupted or running",
    "of earlier setups, other cells or other seeds",
)
"""Purposes of trials, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class TimeUsed:
    """Time of the trials of one purpose on one kind of device.

    Attributes:
        device: its name; empty where no trial wrote it.
        num_trials: trials that began.
        num_timed: those of them whose time is known.
        seconds: from the first start to the end of each of these, times its devices: times of trials that share a
            device are added.
    """

    purpose: str
    device: str
    num_trials: int
    num_timed: int
    seconds: float

    @property
    def seconds_per_trial(self) -> float:
        """Mean seconds of a trial; 0 where none is known."""
        return self.seconds / self.num_timed if self.num_timed else 0.0


def time_used(plan: Plan) -> list[TimeUsed]:
    """Return the time that all trials of a study took, by purpose and device, each trial once."""
    by_purpose: dict[str, dict[str, TrialRecord]] = {purpose: {} for purpose in (TESTED, SEARCHED, UNFINISHED, OTHERS)}
    for trial in [*plan.trials, *plan.all_trials]:
        if trial.record is not None and not any(trial.record.run_id in found for found in by_purpose.values()):
            by_purpose[_purpose(trial.record, is_tested=trial.candidate.config.test)][trial.record.run_id] = (
                trial.record
            )
    by_purpose[OTHERS] |= {record.run_id: record for record in plan.other_records}
    return [each for purpose, records in by_purpose.items() for each in _by_device(purpose, records.values())]


def _purpose(record: TrialRecord, *, is_tested: bool) -> str:
    if record.state in (TrialState.FINISHED, TrialState.PRUNED):
        return TESTED if is_tested else SEARCHED
    return UNFINISHED


def _by_device(purpose: str, records: Iterable[TrialRecord]) -> list[TimeUsed]:
    counts, timed, seconds = Counter[str](), Counter[str](), defaultdict[str, float](float)
    for record in records:
        device = record.tags.get(DEVICE_TAG, "")
        counts[device] += 1
        if record.duration_s is not None:
            timed[device] += 1
            seconds[device] += record.duration_s * int(record.tags.get(WORKERS_TAG, "1"))
    return [
        TimeUsed(
            purpose=purpose,
            device=device,
            num_trials=count,
            num_timed=timed[device],
            seconds=float(seconds[device]),
        )
        for device, count in counts.items()
    ]
