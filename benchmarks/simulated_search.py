"""Simulated search of a cell: points are looked up, not trained; samplers, pruners are those of studies."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.search_tasks import Point, SearchTask
from search_spaces.framework.search import Search
from study.ledger.states import TrialState
from study.search.past_point import PastPoint
from study.search.pruners import CurvePruner
from study.search.samplers import propose


@dataclass(frozen=True)
class CellPruner:
    """Pruner of a cell, or a share in one of several cells.

    Attributes:
        pruner: the pruner; None for none.
        first, stride: number of the first of the cell's points in the pruner, and the distance to the next.
    """

    pruner: CurvePruner | None
    first: int = 0
    stride: int = 1

    @classmethod
    def of(cls, search: Search, num_cells: int = 1) -> "list[CellPruner]":
        """Return the shares in one pruner of several cells that are searched alike."""
        pruner = CurvePruner(search.pruner, "accuracy") if search.pruner else None
        return [cls(pruner, first=index, stride=num_cells) for index in range(num_cells)]

    def report(self, number: int, step: int, value: float) -> bool:
        """Return whether a point of the cell is given up after a validation."""
        return self.pruner is not None and self.pruner.report(self.first + self.stride * number, step, value)

    def end(self, number: int, state: TrialState) -> None:
        """Take over the state of a point of the cell."""
        if self.pruner is not None:
            self.pruner.end(self.first + self.stride * number, state)


def search_points(
    task: SearchTask, search: Search, *, seed: int, num_parallel: int = 1, pruner: CellPruner | None = None
) -> Iterator[PastPoint]:
    """Yield the points of a search as they ended, in the order of asking, until there are no more.

    Args:
        seed: of the sampler, and of the draws of training seeds.
        num_parallel: points in training at once: each is asked for when the one `num_parallel` before it ends.
        pruner: takes the place of a pruner of this cell alone.
    """
    rng = np.random.default_rng(seed)
    pruner = pruner or CellPruner.of(search)[0]
    points: list[PastPoint] = []
    while True:
        num_ended = max(0, len(points) - num_parallel + 1)
        history = [*points[:num_ended], *map(_as_running, points[num_ended:])]
        name = f"{task.name} {seed}"
        values = propose(task.axes, search, history, seed=name, signs=(1,), is_excluded=lambda point: False)
        if values is None:
            return
        points.append(_train(task, values, len(points), int(rng.integers(2**32)), pruner))
        yield points[-1]


def _as_running(point: PastPoint) -> PastPoint:
    return replace(point, state=TrialState.RUNNING, objectives=(), curve={})


def _train(task: SearchTask, values: Point, number: int, draw: int, pruner: CellPruner) -> PastPoint:
    curve: dict[int, float] = {}
    is_given_up = False
    for step, value in task.train(values, draw).items():
        curve[step] = value
        is_given_up = pruner.report(number, step, value) and step < task.num_steps
        if is_given_up:
            break
    if is_given_up:
        state = TrialState.PRUNED
    else:
        state = TrialState.FINISHED if task.num_steps in curve else TrialState.DIVERGED
    pruner.end(number, state)
    objectives = (curve[task.num_steps],) if state == TrialState.FINISHED else ()
    return PastPoint(number=number, values=values, state=state, objectives=objectives, curve=curve)
