"""The order in which trials start: those first on which most of the remaining time depends."""

from bisect import insort
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import chain
from operator import itemgetter

from study.forecast.trial_costs import Shape, TrialCosts, shape_of
from study.ledger.records import TrialRecord
from study.plan import Plan
from study.trial import Trial


@dataclass(frozen=True, eq=False)
class QueuedTrial:
    """A trial that waits.

    Attributes:
        flops: its own, and those of the trial that cannot start before it ends.
    """

    trial: Trial
    flops: float


@dataclass(frozen=True, kw_only=True)
class SearchTurn:
    """A search that can be asked for trials.

    Attributes:
        study: name of its study.
        cell: its cell, as text.
        tested: trial that awaits the search; the next point's is expected to take as long.
        num_in_row: trials that are to come one after the other, the tested one included.
        num_points: points that the search has: of equal ones, that with the fewest comes first.
    """

    study: str
    cell: str
    tested: Trial
    num_in_row: int
    num_points: int

    @property
    def key(self) -> tuple[str, str]:
        """Study and cell: the same whatever has happened since."""
        return self.study, self.cell


def queue_of(plans: Sequence[Plan], records: Iterable[TrialRecord], device: str) -> "TrialQueue":
    """Return the queue of the known trials of some plans.

    Args:
        records: of the ledger: what finished trials took.
        device: `cuda` or `cpu`.
    """
    queue = TrialQueue(TrialCosts([trial for plan in plans for trial in plan.to_check], records, device))
    for plan in plans:
        queue.add(plan.to_run, [trial for trial in plan.trials if trial.awaits])
    return queue


class TrialQueue:
    """Trials that wait. Those start first that take longest, to the end of what depends on them.

    What depends on a trial of a search, or on asking a search for its next point, is the tested trial that awaits it. A
    search is asked once none of its own trials waits: the later, the more results it knows.

    Before all others come trials that have run already; of these, the ones that need a GPU or a node to themselves.

    The order of those that wait changes with what `costs` learns from those that end.
    """

    def __init__(self, costs: TrialCosts) -> None:
        self._costs = costs
        self._exclusive: deque[Trial] = deque()
        self._again: deque[Trial] = deque()
        self._by_shape: dict[Shape, list[QueuedTrial]] = defaultdict(list)
        self._of_search: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._queued: dict[str, QueuedTrial] = {}

    def __len__(self) -> int:
        return len(self._exclusive) + len(self._again) + len(self._queued)

    @property
    def trials(self) -> list[Trial]:
        """Trials that wait, in no order."""
        return [*self._exclusive, *self._again, *(queued.trial for queued in self._queued.values())]

    @property
    def costs(self) -> TrialCosts:
        """Expected times of its trials."""
        return self._costs

    def add(self, trials: Iterable[Trial], awaiting: Sequence[Trial] = ()) -> None:
        """Add trials that have not run yet; those that wait already stay where they are.

        Args:
            awaiting: tested trials that await searches: each depends on the search trials of its cell.
        """
        of_tested = {_cell(each): self._costs.flops(each) for each in awaiting}
        for trial in trials:
            if not trial.candidate.config.test:
                self._of_search[trial.study_name, _cell(trial)].append(trial.identity)
            if trial.identity not in self._queued:
                following = 0.0 if trial.candidate.config.test else of_tested.get(_cell(trial), 0.0)
                queued = QueuedTrial(trial, self._costs.flops_left(trial) + following)
                self._queued[trial.identity] = queued
                insort(self._by_shape[shape_of(trial)], queued, key=lambda each: -each.flops)

    def requeue(self, trial: Trial, *, exclusively: bool = False) -> None:
        """Add a trial that has run, and is to run again before all others."""
        (self._exclusive if exclusively else self._again).append(trial)

    def discard(self, identities: Collection[str]) -> None:
        """Remove trials that start, or that another launch has finished."""
        for identity in identities:
            if (queued := self._queued.pop(identity, None)) is not None:
                self._by_shape[shape_of(queued.trial)].remove(queued)
        self._exclusive = deque(trial for trial in self._exclusive if trial.identity not in identities)
        self._again = deque(trial for trial in self._again if trial.identity not in identities)

    def in_order(self, turns: Iterable[SearchTurn] = ()) -> Iterator[Trial | SearchTurn]:
        """Return what is to start or to be asked, the first first. Later changes of the queue do not matter to it.

        Args:
            turns: searches that can be asked. Its own trials that wait are returned before a search, too, and of equal
                times a trial before a search.
        """
        timed = [self._timed(shape, list(queued)) for shape, queued in self._by_shape.items()]
        longest_first = merge(*timed, self._timed_turns(turns), key=itemgetter(0), reverse=True)
        return chain([*self._exclusive, *self._again], (each for _, each in longest_first))

    def _timed(self, shape: Shape, queued: Sequence[QueuedTrial]) -> Iterator[tuple[float, Trial | SearchTurn]]:
        s_per_flop = self._costs.s_per_flop(shape)
        return ((each.flops * s_per_flop, each.trial) for each in queued)

    def _timed_turns(self, turns: Iterable[SearchTurn]) -> list[tuple[float, Trial | SearchTurn]]:
        timed: list[tuple[float, Trial | SearchTurn]] = []
        for turn in sorted(turns, key=lambda turn: turn.num_points):
            seconds = turn.num_in_row * self._costs.seconds(turn.tested)
            own = [self._queued[each].trial for each in self._of_search[turn.key] if each in self._queued]
            entries: list[Trial | SearchTurn] = [*own, turn]
            timed += [(seconds, entry) for entry in entries]
        return sorted(timed, key=itemgetter(0), reverse=True)


def _cell(trial: Trial) -> str:
    return str(trial.candidate.requested_values)
