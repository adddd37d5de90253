"""Simulation of a launch that drives its queue: how well trials fill the GPUs.

    python -m benchmarks packing

A trial takes the time of its FLOPs on a GPU. The lower bound is the work of all trials divided by the number of GPUs,
or the longest trial, of a search together with the trial that awaits it. Datasets have their sizes in the registry.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import compress, count
from statistics import median

import search_spaces
from benchmarks.ratios import BenchmarkResult
from revit.datasets.registry import DATASETS
from search_spaces.framework.candidates import Candidate
from search_spaces.framework.space import SearchSpace
from study.forecast.queue import SearchTurn, TrialQueue
from study.forecast.trial_costs import TrialCosts, shape_of
from study.ledger.schema import NUM_ALL_TAG, NUM_TRAIN_TAG
from study.plan import stated_steps
from study.trial import Trial

STUDIES = ("resolution", "all")
NUM_GPUS = (4, 8, 64)
NUM_DRAWS = 5
SPREAD = 0.2
"""Largest relative difference of the time of a trial from its estimate."""
FACTOR = 3
"""Largest factor by which the speed of a shape differs from that of another."""
MAX_OF_BOUND = 1.02

Seconds = Callable[[Trial], float]


@dataclass
class SimulatedSearch:
    """The search of one cell: its points, then the tested trials that await it."""

    points: list[Trial]
    tested: list[Trial]


@dataclass
class SimulatedStudy:
    """Trials that can start at once, and searches."""

    trials: list[Trial] = field(default_factory=list)
    searches: list[SimulatedSearch] = field(default_factory=list)

    @property
    def all_trials(self) -> list[Trial]:
        """Every trial, those of searches last."""
        return [*self.trials, *(trial for search in self.searches for trial in [*search.points, *search.tested])]


def simulated_study(spaces: Sequence[SearchSpace]) -> SimulatedStudy:
    """Return the trials of studies in the order of their plans, with the sizes of datasets in the registry."""
    study, names = SimulatedStudy(), map(str, count())
    for space in spaces:
        cells = space.list_cells()
        by_seed = [
            [_trial(space, space.candidate(cell, cell.first_point, seed), next(names)) for cell in cells]
            for seed in space.seeds
        ]
        is_known = [not cell.axes for cell in cells]
        study.trials += [trial for trials in by_seed for trial in compress(trials, is_known)]
        for cell, tested in zip(cells, zip(*by_seed, strict=True), strict=True):
            if cell.axes:
                candidate = space.search_candidate(cell, cell.first_point, space.search.seeds[0])
                points = [_trial(space, candidate, next(names)) for _ in range(space.num_points(cell))]
                study.searches.append(SimulatedSearch(points, list(tested)))
    return study


def _trial(space: SearchSpace, candidate: Candidate, identity: str) -> Trial:
    config = candidate.config
    spec = DATASETS[config.dataset]
    num_all = spec.num_train - round(config.val_fraction * spec.num_train)
    return Trial(
        candidate=candidate,
        identity=identity,
        images=None,
        weights=None,
        num_steps=stated_steps(config),
        num_test=spec.num_test,
        record=None,
        input_digests={},
        study=space.tags,
        sizes={NUM_TRAIN_TAG: round(config.data_fraction * num_all), NUM_ALL_TAG: num_all},
    )


class PlanOrder(TrialQueue):
    """A queue in the order in which trials are added; searches are asked last."""

    def in_order(self, turns: Iterable[SearchTurn] = ()) -> Iterator[Trial | SearchTurn]:
        """Return the trials, then the searches with the fewest points."""
        trials = [queued.trial for queued in self._queued.values()]
        return iter([*trials, *sorted(turns, key=lambda turn: turn.num_points)])


class SimulatedLaunch:
    """A launch without Ray, ledger, or training.

    Args:
        queue: empty; learns by `costs` from each trial that ends.
        seconds: how long a trial takes.
    """

    def __init__(self, study: SimulatedStudy, queue: TrialQueue, costs: TrialCosts, seconds: Seconds) -> None:
        self._queue, self._costs, self._seconds = queue, costs, seconds
        self._searches = {str(search.tested[0].candidate.requested_values): search for search in study.searches}
        self._to_ask = {cell: list(search.points) for cell, search in self._searches.items()}
        self._awaited = {cell: len(points) for cell, points in self._to_ask.items()}
        self._search_of = {trial.identity: cell for cell, points in self._to_ask.items() for trial in points}
        queue.add(study.trials)

    def run(self, num_gpus: int) -> float:
        """Return the seconds until the last trial has ended."""
        now, started = 0.0, count()
        running: list[tuple[float, int, Trial]] = []
        while True:
            while len(running) < num_gpus and (trial := self._start_next()) is not None:
                heappush(running, (now + self._seconds(trial), next(started), trial))
            if not running:
                return now
            now, _, trial = heappop(running)
            self._end(trial)

    def _start_next(self) -> Trial | None:
        following = next(self._queue.in_order(self._turns()), None)
        if isinstance(following, SearchTurn):
            self._queue.add([self._to_ask[following.cell].pop(0)], [following.tested])
            return self._start_next()
        if following is not None:
            self._queue.discard([following.identity])
        return following

    def _turns(self) -> Iterator[SearchTurn]:
        for cell, left in self._to_ask.items():
            if left:
                tested, num_asked = self._searches[cell].tested[0], len(self._searches[cell].points) - len(left)
                study = tested.study_name
                yield SearchTurn(study=study, cell=cell, tested=tested, num_in_row=2, num_points=num_asked)

    def _end(self, trial: Trial) -> None:
        self._costs.measure(trial, trial.num_steps, self._seconds(trial), "gpu")
        if (cell := self._search_of.get(trial.identity)) is not None:
            self._awaited[cell] -= 1
            if not self._awaited[cell]:
                self._queue.add(self._searches[cell].tested)


def lower_bound(study: SimulatedStudy, num_gpus: int, seconds: Seconds) -> float:
    """Return the seconds that a study takes at least."""
    longest = [max(map(seconds, search.points)) + max(map(seconds, search.tested)) for search in study.searches]
    return max([sum(map(seconds, study.all_trials)) / num_gpus, *map(seconds, study.trials), *longest])


def share_of_bound(
    study: SimulatedStudy, num_gpus: int, queue_of: Callable[[TrialCosts], TrialQueue], error: Seconds
) -> float:
    """Return the time of a study as a multiple of its lower bound.

    Args:
        queue_of: makes the queue.
        error: time of a trial as a multiple of its estimate.
    """
    costs, estimates = TrialCosts(study.all_trials), TrialCosts(study.all_trials)
    times = {trial.identity: estimates.seconds(trial) * error(trial) for trial in study.all_trials}

    def seconds(trial: Trial) -> float:
        return times[trial.identity]

    return SimulatedLaunch(study, queue_of(costs), costs, seconds).run(num_gpus) / lower_bound(study, num_gpus, seconds)


def error_of_trial(seed: int) -> Seconds:
    """Return errors that are drawn for each trial, uniform in 1 +- SPREAD."""
    return lambda trial: random.Random(f"{seed} {trial.identity}").uniform(1 - SPREAD, 1 + SPREAD)


def error_of_shape(seed: int) -> Seconds:
    """Return errors that are drawn for each shape, log-uniform from 1 / FACTOR to FACTOR, and those of each trial."""
    of_trial = error_of_trial(seed)
    return lambda trial: FACTOR ** random.Random(f"{seed} {shape_of(trial)}").uniform(-1, 1) * of_trial(trial)


def load_studies(name: str) -> list[SearchSpace]:
    """Return a study, or all that `run all` runs."""
    spaces = map(search_spaces.load, search_spaces.names() if name == "all" else [name])
    return [space for space in spaces if space.base is None]


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Simulate each study on each number of GPUs, in the order of the queue and in that of the plan."""
    num_draws = 1 if tiny else NUM_DRAWS
    results = []
    for name in STUDIES[:1] if tiny else STUDIES:
        study = simulated_study(load_studies(name))
        for num_gpus in NUM_GPUS:
            share = partial(share_of_bound, study, num_gpus)
            by_trial = [share(TrialQueue, error_of_trial(seed)) for seed in range(num_draws)]
            by_shape = [share(TrialQueue, error_of_shape(seed)) for seed in range(num_draws)]
            details = (
                f"estimates wrong by up to {SPREAD:.0%}: {_spread(by_trial)}; also by up to {FACTOR} times for a "
                f"shape: {_spread(by_shape)}; in the order of the plan: {share(PlanOrder, lambda trial: 1.0):.3f}"
            )
            results.append(
                BenchmarkResult(
                    what=f"{name} at paper scale, {len(study.all_trials)} trials on {num_gpus} GPUs",
                    against="lower bound",
                    ratio=share(TrialQueue, lambda trial: 1.0),
                    target=MAX_OF_BOUND,
                    at_least=False,
                    details=details,
                )
            )
    return results


def _spread(shares: Sequence[float]) -> str:
    return f"{median(shares):.3f} ({min(shares):.3f} to {max(shares):.3f}, n {len(shares)})"
