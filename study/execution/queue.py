"""The order in which trials start: those first on which most of the remaining time depends."""

from bisect import insort
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import chain
from operator import itemgetter
from typing import Any

from study.trial import Trial
from study.trial_costs import Shape, TrialCosts, shape_of


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
        search: key of the search, for whoever asks it.
        tested: trial that awaits the search; the next point's is expected to take as long.
        num_in_row: trials that are to come one after the other, the tested one included.
        num_points: points that the search has: of equal ones, that with the fewest comes first.
    """

    search: Any
    tested: Trial
    num_in_row: int
    num_points: int


class TrialQueue:
    """Trials that wait. Those start first that take longest, to the end of what depends on them.

    What depends on a trial of a search, or on asking a search for its next point, is the tested trial that awaits it.
    Before all others come trials that have run already; of these, the ones that need a GPU or a node to themselves.

    The order of those that wait changes with what `costs` learns from those that end.
    """

    def __init__(self, costs: TrialCosts) -> None:
        self._costs = costs
        self._exclusive: deque[Trial] = deque()
        self._again: deque[Trial] = deque()
        self._by_shape: dict[Shape, list[QueuedTrial]] = {}
        self._queued: dict[str, QueuedTrial] = {}

    def __len__(self) -> int:
        return len(self._exclusive) + len(self._again) + len(self._queued)

    def add(self, trials: Iterable[Trial], awaiting: Sequence[Trial] = ()) -> None:
        """Add trials that have not run yet; those that wait already stay where they are.

        Args:
            awaiting: tested trials that await searches: each depends on the search trials of its cell.
        """
        of_tested = {str(each.candidate.requested_values): self._costs.flops(each) for each in awaiting}
        for trial in trials:
            if trial.identity in self._queued:
                continue
            following = 0.0 if trial.candidate.config.test else of_tested.get(str(trial.candidate.requested_values), 0)
            queued = QueuedTrial(trial, self._costs.flops(trial) + following)
            self._queued[trial.identity] = queued
            insort(self._by_shape.setdefault(shape_of(trial), []), queued, key=lambda each: -each.flops)

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
            turns: searches that can be asked; a trial that takes as long starts before.
        """
        timed = [self._timed(shape, list(queued)) for shape, queued in self._by_shape.items()]
        fewest_first = sorted(turns, key=lambda turn: turn.num_points)
        timed_turns = [(turn.num_in_row * self._costs.seconds(turn.tested), turn) for turn in fewest_first]
        timed.append(iter(sorted(timed_turns, key=itemgetter(0), reverse=True)))
        longest_first = merge(*timed, key=itemgetter(0), reverse=True)
        return chain([*self._exclusive, *self._again], (each for _, each in longest_first))

    def _timed(self, shape: Shape, queued: Sequence[QueuedTrial]) -> Iterator[tuple[float, Trial | SearchTurn]]:
        s_per_flop = self._costs.s_per_flop(shape)
        return ((each.flops * s_per_flop, each.trial) for each in queued)
