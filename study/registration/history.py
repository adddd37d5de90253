"""History of a study's records, beside the times at which its results were first written."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from search_spaces.framework.claim_cells import Value
from search_spaces.framework.claims import Claim
from study.analysis.sequential import covers
from study.analysis.verdicts import stated_point
from study.ledger.records import TrialRecord, study_tags
from study.ledger.registrations import StoredRecord
from study.ledger.schema import (
    CELL_PREFIX,
    FIRST_RESULT_TAG,
    NUM_STEPS_DONE,
    PHASE_TAG,
    RECIPE_TAG,
    REGISTRATION_TAG,
    SCALE_TAG,
    SEARCH_PHASE,
    SEED_TAG,
    STUDY_TAG,
)
from study.plan import Plan
from study.registration.record import Registration, digest_of

ReadFirst = Callable[[str, str], float | None]
"""Function of a run id and a metric that returns when its first value was measured, in seconds since 1970, or None."""
Key = tuple[str, str]
"""A trial of a table: the text of its cell, and its seed."""


class Result(NamedTuple):
    """A trial with results.

    Attributes:
        first_s: when the first of them was measured, in seconds since 1970; no record lies between it and the truth.
        registration: digest of the record under which it began; empty for none.
        is_own: the study itself trained it, not another one.
    """

    key: Key
    first_s: float
    registration: str
    is_own: bool


@dataclass(frozen=True, kw_only=True)
class History:
    """Records of a study by time, and the trials that have results.

    Attributes:
        records: those whose text has the stored digest.
        stored: what is stored of each launch, the oldest first.
        results: of tested trials of the study's cells, also of earlier setups.
        points: point of each trial of its table, by key, in the terms of its claims.
        known_digests: of the records of all studies of the store.
    """

    records: Sequence[Registration]
    stored: Sequence[StoredRecord]
    results: Sequence[Result]
    points: Mapping[Key, Mapping[str, Value]]
    known_digests: Set[str]

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Number of each record, by its digest."""
        return {record.digest: number for number, record in enumerate(self.records)}

    def seen(self, number: int) -> frozenset[Key]:
        """Return the trials that had results before a record; of the number after the last, all that have some.

        A trial that began under this record, or a later one, had none, whatever the clocks say.
        """
        return frozenset(result.key for result in self.results_before(number))

    def results_before(self, number: int) -> list[Result]:
        """Return the results before a record."""
        if number == len(self.records):
            return list(self.results)
        limit = self.records[number].created_s
        earlier = [each for each in self.results if self.index.get(each.registration, -1) < number]
        return [each for each in earlier if each.first_s < limit]

    def keys_of(self, claim: Claim | None) -> frozenset[Key]:
        """Return the trials of the table that a claim compares."""
        if claim is None:
            return frozenset()
        return frozenset(key for key, point in self.points.items() if covers(claim, point))


def read_history(
    plan: Plan,
    records: Mapping[str, TrialRecord],
    stored: Sequence[StoredRecord],
    known_digests: Set[str],
    read_first: ReadFirst,
) -> History:
    """Return the history of a study.

    Args:
        records: every trial of the ledger by identity, other studies' included.
        stored: what is stored of each launch of the study, the oldest first.
        read_first: called for trials that had begun before a record, and ended after it.
    """
    intact = {each.digest: each for each in _intact(stored)}
    by_time = sorted(intact.values(), key=lambda each: (each.created_ms, each.digest))
    times = [each.created_s for each in by_time]
    own_tags = plan.space.tags
    by_key: dict[str, tuple[Key, TrialRecord]] = {}
    for record in records.values():
        if (key := _key_of(record, own_tags)) is not None:
            by_key[record.run_id] = key, record
    for trial in plan.trials:  # another study's trial may lack this one's tags
        if trial.record is not None:
            by_key[trial.record.run_id] = _key(plan, trial.candidate.cell, trial.candidate.config.seed), trial.record
    return History(
        records=by_time,
        stored=stored,
        results=[
            Result(
                key=key,
                first_s=_first_result_s(record, times, read_first),
                registration=record.tags.get(REGISTRATION_TAG, ""),
                is_own=record.tags.get(STUDY_TAG, plan.space.name) == plan.space.name,
            )
            for key, record in by_key.values()
            if record.last_step or record.state.is_terminal
        ],
        points=_points(plan),
        known_digests=known_digests,
    )


def _intact(stored: Iterable[StoredRecord]) -> Iterable[Registration]:
    """Yield the records whose texts have the stored digests. A launch that was killed may not have stored its own."""
    for each in stored:
        if each.text and each.digest in ("", digest_of(each.text)):
            try:
                yield Registration.from_json(each.text)
            except ValueError:
                continue


def _points(plan: Plan) -> dict[Key, Mapping[str, Value]]:
    trained_axes = plan.space.trained_values.keys()
    return {
        _key(plan, each.cell, each.config.seed): stated_point(each, trained_axes)
        for each in (trial.candidate for trial in plan.trials)
    }


def _key(plan: Plan, cell: Mapping[str, Value], seed: int) -> Key:
    name = plan.space.name
    return study_tags(name, cell=cell, point={})[f"{CELL_PREFIX}{name}"], str(seed)


def _key_of(record: TrialRecord, study: Mapping[str, str]) -> Key | None:
    """Return the key of a tested trial of a study, whatever its setup was; None for another trial."""
    tags = record.tags
    cell = tags.get(f"{CELL_PREFIX}{study[STUDY_TAG]}")
    is_same_start = all(tags.get(name) == study.get(name) for name in (RECIPE_TAG, SCALE_TAG))
    if cell is None or not is_same_start or tags.get(PHASE_TAG) == SEARCH_PHASE:
        return None
    return cell, tags.get(SEED_TAG, "")


def _first_result_s(record: TrialRecord, times: Sequence[float], read_first: ReadFirst) -> float:
    """Return when a trial had its first result, exact only where a record lies between its start and its end.

    Another store, from which results were merged, may have had it earlier.
    """
    if FIRST_RESULT_TAG in record.tags:
        return int(record.tags[FIRST_RESULT_TAG]) / 1000
    end_s = record.end_s or float("inf")
    if any(record.start_s < time <= end_s for time in times) and record.last_step:
        first_s = read_first(record.run_id, NUM_STEPS_DONE)
        return record.start_s if first_s is None else first_s
    return record.start_s
