"""Merge of another store's results into this one, by identity."""

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from rich.filesize import decimal

from revit.errors import InputError
from study.layout import NEEDED_FILES, PREDICTIONS
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks, LocksLostError
from study.ledger.other_store import OtherStore
from study.ledger.records import SearchTag, TrialRecord
from study.ledger.run_copies import RunCopies
from study.ledger.schema import (
    CELL_PREFIX,
    FIRST_RESULT_TAG,
    NUM_PREFIX,
    NUM_STEPS_DONE,
    POINT_PREFIX,
    REGISTRATION_TAG,
    SEARCH_PREFIX,
    SOURCE_RUN_TAG,
    STUDY_PREFIX,
)
from study.ledger.server_locks import begin_launch
from study.ledger.states import TrialState
from study.maintenance.agreement import Disagreement, find_differences

MERGE_LOCK = "merge"
"""Name of the lock of a store into which another one is merged."""
NUM_TAKEN = f"{NUM_PREFIX}taken"
"""Metric of the launch of a merge: trials that it took."""
Fork = tuple[str, str]
"""A cell that both stores have searched, with different points: name of the tag of its search, and its label."""


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Differences between two stores.

    Attributes:
        to_take: trials that ended in the other store, and did not here.
        num_bytes: of their files.
        equal: trials that ended in both, alike; this store's records.
        disagreements: trials that ended in both, differently. They are not taken.
        unfinished: trials that have not ended in the other store.
        damaged: a line for each finished trial of the other store that lacks files. They are not taken.
        forks: cells whose search stays as it is here.
        tags: tags that trials here get, by identity: studies of the other store, and its earlier results.
        num_launches, num_rehearsals: those that are not here.
    """

    to_take: Sequence[TrialRecord]
    num_bytes: int
    equal: Sequence[TrialRecord]
    disagreements: Sequence[Disagreement]
    unfinished: Sequence[TrialRecord]
    damaged: Sequence[str]
    forks: Sequence[Fork]
    tags: Mapping[str, Mapping[str, str]]
    num_launches: int
    num_rehearsals: int

    @property
    def is_empty(self) -> bool:
        """True if nothing is to be written."""
        return not (self.to_take or self.tags or self.num_launches or self.num_rehearsals)

    @property
    def agrees(self) -> bool:
        """True if nothing that ended in the other store is left out."""
        return not (self.disagreements or self.damaged)


def find_mergeable(other: OtherStore, ledger: Ledger | None) -> Merge:
    """Compare another store with this one.

    Args:
        ledger: None for a store that is still to be created.
    """
    here = {} if ledger is None else ledger.trials()
    known = {name for each in here.values() for name in (each.run_id, each.tags.get(SOURCE_RUN_TAG, ""))}
    ended = {identity: trial for identity, trial in other.trials.items() if trial.state.is_terminal}
    both = {name: here[name] for name in ended if name in here and here[name].state.is_terminal}
    new = [trial for name, trial in ended.items() if name not in both and _source_id(trial) not in known]
    sizes = {trial.identity: other.artifacts.sizes(trial.run_id) for trial in new}
    faults = {trial.identity: _find_fault(trial, sizes[trial.identity], other.address) for trial in new}
    to_take = [trial for trial in new if not faults[trial.identity]]
    forks = find_forks(here.values(), other.trials.values())
    disagreements = [] if ledger is None else list(_disagreements(both, ended, ledger, other))
    differing = {each.here.identity for each in disagreements}
    equal = [trial for name, trial in both.items() if name not in differing]
    tags = {trial.identity: _new_tags(trial, ended[trial.identity], other, forks) for trial in equal}
    copies = None if ledger is None else RunCopies(other, ledger)
    return Merge(
        to_take=to_take,
        num_bytes=sum(size for trial in to_take for size in sizes[trial.identity].values()),
        equal=equal,
        disagreements=disagreements,
        unfinished=[trial for trial in other.trials.values() if not trial.state.is_terminal],
        damaged=[f"{trial.identity}: {faults[trial.identity]}" for trial in new if faults[trial.identity]],
        forks=forks,
        tags={name: each for name, each in tags.items() if each},
        num_launches=len(other.launches if copies is None else copies.new_launches()),
        num_rehearsals=len(other.rehearsals if copies is None else copies.new_rehearsals()),
    )


def _source_id(trial: TrialRecord) -> str:
    return trial.tags.get(SOURCE_RUN_TAG, trial.run_id)


def _find_fault(trial: TrialRecord, files: Collection[str], address: str) -> str:
    """Return which files a finished trial lacks; empty for none."""
    missing = [name for name in NEEDED_FILES if name not in files]
    return f"{', '.join(missing)} missing in {address}" if missing and trial.state == TrialState.FINISHED else ""


def _disagreements(
    both: Mapping[str, TrialRecord], theirs: Mapping[str, TrialRecord], ledger: Ledger, other: OtherStore
) -> Iterator[Disagreement]:
    for identity, here in both.items():
        there = theirs[identity]
        files = ledger.artifacts.path(here.run_id, PREDICTIONS), other.artifacts.path(there.run_id, PREDICTIONS)
        if differences := find_differences(here, there, *files):
            yield Disagreement(here=here, there=there, differences=tuple(differences))


def find_forks(here: Iterable[TrialRecord], there: Iterable[TrialRecord]) -> list[Fork]:
    """Return the cells that two stores have searched with different points of the same number."""
    ours, theirs = _points(here), _points(there)
    both = ours.keys() & theirs.keys()
    return sorted({place[:2] for place in both if ours[place] != theirs[place]})


def _points(trials: Iterable[TrialRecord]) -> dict[tuple[str, str, int], Mapping[str, object]]:
    """Return the point of each number, by the tag and the cell of its search."""
    return {
        (name, str(tag.cell), tag.number): tag.point for trial in trials for name, tag in _places(trial.tags).items()
    }


def _places(tags: Mapping[str, str]) -> dict[str, SearchTag]:
    """Return the places of a trial in searches, by the names of their tags."""
    found = {name: SearchTag.from_json(value) for name, value in tags.items() if name.startswith(SEARCH_PREFIX)}
    return {name: tag for name, tag in found.items() if tag is not None}


def _new_tags(here: TrialRecord, there: TrialRecord, other: OtherStore, forks: Sequence[Fork]) -> dict[str, str]:
    """Return the tags that a trial of both stores is to get."""
    prefixes = (STUDY_PREFIX, CELL_PREFIX, POINT_PREFIX, SEARCH_PREFIX)
    studies = {name: value for name, value in _without_forks(there.tags, forks).items() if name.startswith(prefixes)}
    missing = {name: value for name, value in studies.items() if name not in here.tags}
    first = _first_tags(there, here, lambda: other.first_result_ms(there))
    return {**missing, **{name: value for name, value in first.items() if here.tags.get(name, "") != value}}


def _without_forks(tags: Mapping[str, str], forks: Sequence[Fork]) -> dict[str, str]:
    """Return tags without the places in searches that stay as they are here."""
    places = _places(tags)
    dropped = {name for name, tag in places.items() if (name, str(tag.cell)) in forks}
    return {name: value for name, value in tags.items() if name not in dropped}


def _first_tags(first: TrialRecord, kept: TrialRecord, first_ms: Callable[[], int]) -> dict[str, str]:
    """Return the tags by which a trial that is kept says that another run of it had the first result; maybe none.

    Args:
        first_ms: returns when the other run had it, unless that has tags of its own.
    """
    kept_ms = int(kept.tags.get(FIRST_RESULT_TAG) or 1000 * kept.start_s)
    if not first.last_step or 1000 * first.start_s >= kept_ms:
        return {}
    earlier_ms = int(first.tags.get(FIRST_RESULT_TAG) or first_ms())
    if earlier_ms >= kept_ms:
        return {}
    return {FIRST_RESULT_TAG: str(earlier_ms), REGISTRATION_TAG: first.tags.get(REGISTRATION_TAG, "")}


def summarize(merge: Merge) -> Iterator[str]:
    """Yield a line for each group of trials, with its number, then for what is left out and why."""
    studies = Counter(study for trial in merge.to_take for study in sorted(trial.studies) or ["no study"])
    counts = {
        f"to take ({decimal(merge.num_bytes)}): {_counts(studies)}": len(merge.to_take),
        "in both, with equal results": len(merge.equal),
        "in both, with different results: not taken": len(merge.disagreements),
        "not ended there: not taken": len(merge.unfinished),
        "finished there, without all of their files: not taken": len(merge.damaged),
        "launches": merge.num_launches,
        "rehearsals": merge.num_rehearsals,
    }
    yield from (f"{count:>7,}  {text}" for text, count in counts.items() if count)
    yield from (f"not taken: {line}" for line in merge.damaged)
    for name, cell in merge.forks:
        study = name.removeprefix(SEARCH_PREFIX).rpartition(".")[0]
        yield f"{study}, cell {cell}: searched in both stores with different points; the search here stays as it is"


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {name}" for name, count in numbers.items())


def take(
    merge: Merge, other: OtherStore, ledger: Ledger, tags: Mapping[str, str], log: Callable[[str], None]
) -> Generator[bool]:
    """Take all that is to be taken; yield for each trial whether it is here, which it is not while a launch has it.

    Args:
        tags: of the launch of the merge: who began it, where, by which command.
        log: called with a line while the store is unavailable.

    Raises:
        InputError: another store is merged into this one at the moment.
    """
    launches, _, locks = begin_launch({f"merge of {other.address}": tags}, ledger, log)
    [launch] = launches.values()
    state, num_taken = TrialState.INTERRUPTED, 0
    try:
        if not locks.acquire(MERGE_LOCK):
            raise InputError(f"another merge into {ledger.label} has not ended: repeat the command afterwards")
        copies = RunCopies(other, ledger)
        _take_launches(copies, ledger, locks, log)
        parents = copies.launches()
        for identity, new in merge.tags.items():
            ledger.retry(partial(_tag, identity, new, ledger), log=log)
        for trial in merge.to_take:
            locks.confirm()
            is_taken = ledger.retry(partial(_take_trial, trial, merge.forks, copies, parents, ledger, locks), log=log)
            num_taken += is_taken
            yield is_taken
        state = TrialState.FINISHED
    except LocksLostError as error:
        raise InputError(f"{error}: repeat the command") from error
    finally:
        with suppress(InputError):
            ledger.launches.close(launch, state, {NUM_TAKEN: float(num_taken)})
        locks.release_all()


def _take_launches(copies: RunCopies, ledger: Ledger, locks: Locks, log: Callable[[str], None]) -> None:
    """Take the launches, which trials are nested in, and the rehearsals."""
    for add, runs in ((copies.add_launch, copies.new_launches()), (copies.add_rehearsal, copies.new_rehearsals())):
        for run in runs:
            ledger.retry(partial(add, run, locks), log=log)


def _take_trial(
    trial: TrialRecord,
    forks: Sequence[Fork],
    copies: RunCopies,
    parents: Mapping[str, str],
    ledger: Ledger,
    locks: Locks,
) -> bool:
    """Take a trial unless a launch has it, and return whether it is here."""
    tags = _without_forks(trial.tags, forks)
    places = _places(tags)
    names = [trial.identity, *(SearchTag.lock(name, tag.cell) for name, tag in places.items())]
    try:
        if not all(map(locks.acquire, names)):
            return False
        here = ledger.find(trial.identity)
        if here is not None and here.state.is_terminal:
            return True
        taken = {name for name, tag in places.items() if _is_number_taken(name, tag, ledger)}
        tags = {name: value for name, value in tags.items() if name not in taken}
        if here is not None:
            own = here
            tags |= _first_tags(here, trial, lambda: _first_ms(own, ledger))
        copies.add_trial(trial, tags, parents)
        if here is not None:
            ledger.runs.merge_duplicates(trial.identity)  # deletes the run here, whose studies become the copy's
        return True
    finally:
        for name in names:
            locks.release(name)


def _first_ms(trial: TrialRecord, ledger: Ledger) -> int:
    first_s = ledger.registrations.first_result_s(trial.run_id, NUM_STEPS_DONE)
    return round(1000 * (trial.start_s if first_s is None else first_s))


def _is_number_taken(name: str, place: SearchTag, ledger: Ledger) -> bool:
    """Return whether a launch has given the number of a point to another point since the stores were compared."""
    there = ledger.search_trials(name, place.cell, place.number).values()
    tags = [SearchTag.from_json(each.tags[name]) for each in there]
    return any(tag is not None and tag.point != place.point for tag in tags)


def _tag(identity: str, tags: Mapping[str, str], ledger: Ledger) -> None:
    record = ledger.find(identity)
    if record is not None:
        ledger.tag_study(record, tags)
