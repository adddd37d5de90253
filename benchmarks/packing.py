"""Simulation of a launch that drives its queue: how well trials fill the GPUs.

    python -m benchmarks packing

A trial takes the time of its FLOPs on a GPU. The lower bound is the work of all trials divided by the number of GPUs,
or the longest trial, of a search together with the trial that awaits it. Datasets have their sizes in the registry.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from statistics import median

import search_spaces
from benchmarks.ratios import BenchmarkResult
from search_spaces.framework.space import SearchSpace
from study.forecast.queue import SearchTurn, TrialQueue
from study.forecast.simulated_launch import Seconds, SimulatedLaunch, SimulatedStudy, simulated_study
from study.forecast.trial_costs import TrialCosts, shape_of
from study.trial import Trial

STUDIES = ("resolution", "all")
NUM_GPUS = (4, 8, 64)
NUM_DRAWS = 5
SPREAD = 0.2
"""Largest relative difference of the time of a trial from its estimate."""
FACTOR = 3
"""Largest factor by which the speed of a shape differs from that of another."""
MAX_OF_BOUND = 1.02


class PlanOrder(TrialQueue):
    """A queue in the order in which trials are added; searches are asked last."""

    def in_order(self, turns: Iterable[SearchTurn] = ()) -> Iterator[Trial | SearchTurn]:
        """Return the trials, then the searches with the fewest points."""
        trials = [queued.trial for queued in self._queued.values()]
        return iter([*trials, *sorted(turns, key=lambda turn: turn.num_points)])


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
