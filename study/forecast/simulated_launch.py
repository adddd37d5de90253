"""Simulation of a launch that drives its queue, without Ray, ledger or training."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import compress, count

from revit.datasets.registry import DATASETS, SPECS
from search_spaces.framework.candidates import SEARCHED, Candidate
from search_spaces.framework.kept_seeds import keeps_seed
from search_spaces.framework.space import SearchSpace
from study.forecast.queue import SearchTurn, TrialQueue
from study.forecast.trial_costs import TrialCosts
from study.ledger.schema import NUM_ALL_TAG, NUM_TEST_TAG, NUM_TRAIN_TAG, num_test_name
from study.plan import Plan, stated_steps
from study.trial import Trial

Seconds = Callable[[Trial], float]
Cell = tuple[str, str]
"""Name of a study, and a cell of it as text."""


@dataclass
class SimulatedSearch:
    """The search of one cell: its points that are to be trained, then the tested trials that await it."""

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

    def add(self, other: "SimulatedStudy") -> None:
        """Take over what another study has to train, but for trials that are known already."""
        known = {trial.identity for trial in self.all_trials}
        self.trials += [trial for trial in other.trials if trial.identity not in known]
        self.searches += other.searches


def simulated_plan(plan: Plan) -> SimulatedStudy:
    """Return what a plan has to train. Points that are not known yet cost as much as the trial that awaits them."""
    names = (f"{plan.space.name} {number}" for number in count())
    of_searches = {trial.identity for search in plan.searches for trial in search.to_run}
    study = SimulatedStudy([trial for trial in plan.to_run if trial.identity not in of_searches])
    for search in plan.searches:
        tested = [trial for trial in plan.trials if trial.candidate.requested_values == search.cell.values]
        if search.is_settled:
            continue
        config = tested[0].candidate.config.with_values({**SEARCHED, "val_fraction": 0.1})
        unknown = replace(tested[0], candidate=replace(tested[0].candidate, config=config), awaits="", test_sets={})
        points = [replace(unknown, identity=next(names)) for _ in range(search.num_unknown)]
        known = [replace(trial, identity=next(names), awaits="") for trial in tested]
        study.searches.append(SimulatedSearch([*search.to_run, *points], known))
    return study


def simulated_study(spaces: Sequence[SearchSpace], num_seeds: int | None = None) -> SimulatedStudy:
    """Return the trials of studies in the order of their plans, with the sizes of datasets in the registry.

    Args:
        num_seeds: train every cell with the seeds 0, 1, ...; None for the studies' own.
    """
    whole = SimulatedStudy()
    for space in spaces:
        whole.add(_stated_study(space, space.seeds if num_seeds is None else tuple(range(num_seeds))))
    return whole


def _stated_study(space: SearchSpace, seeds: tuple[int, ...]) -> SimulatedStudy:
    study, names = SimulatedStudy(), (f"{space.name} {number}" for number in count())
    cells = space.list_cells()
    by_seed: list[list[Trial]] = []
    for seed in seeds:
        keeps = {space.name: keeps_seed(space.keep_models, seed, seeds[0])}
        of_seed = [_stated_trial(space, space.candidate(cell, cell.first_point, seed)) for cell in cells]
        by_seed.append([replace(trial, keeps=keeps) for trial in of_seed])
    is_known = [not cell.axes for cell in cells]
    study.trials += [trial for trials in by_seed for trial in compress(trials, is_known)]
    for cell, tested in zip(cells, zip(*by_seed, strict=True), strict=True):
        if cell.axes:
            of_point = [space.search_candidate(cell, cell.first_point, seed) for seed in space.search.seeds]
            points = [_stated_trial(space, each) for each in of_point * space.num_points(cell)]
            searched = [replace(trial, identity=next(names)) for trial in points]
            study.searches.append(SimulatedSearch(searched, [replace(each, identity=next(names)) for each in tested]))
    return study


def _stated_trial(space: SearchSpace, candidate: Candidate) -> Trial:
    """Return a trial whose identity is its config: those of several studies are one."""
    config = candidate.config
    spec = DATASETS[config.dataset]
    num_all = spec.num_train - round(config.val_fraction * spec.num_train)
    return Trial(
        candidate=candidate,
        identity=str(config.flat()),
        images=None,
        weights=None,
        num_steps=stated_steps(config),
        num_test=spec.num_test,
        record=None,
        input_digests={},
        study=space.tags,
        sizes={
            NUM_TRAIN_TAG: round(config.data_fraction * num_all),
            NUM_ALL_TAG: num_all,
            NUM_TEST_TAG: spec.num_test,
            **{num_test_name(name): SPECS[name].num_test for name in config.test_sets},
        },
        test_sets=dict.fromkeys(config.test_sets),
    )


class SimulatedLaunch:
    """A launch without Ray, ledger, or training.

    Args:
        queue: empty; learns by `costs` from each trial that ends.
        seconds: how long a trial takes.
    """

    def __init__(self, study: SimulatedStudy, queue: TrialQueue, costs: TrialCosts, seconds: Seconds) -> None:
        self._queue, self._costs, self._seconds = queue, costs, seconds
        self._searches = {_cell_of(search): search for search in study.searches}
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
            self._queue.add([self._to_ask[following.key].pop(0)], [following.tested])
            return self._start_next()
        if following is not None:
            self._queue.discard([following.identity])
        return following

    def _turns(self) -> Iterator[SearchTurn]:
        for key, left in self._to_ask.items():
            if left:
                study, cell = key
                tested, num_asked = self._searches[key].tested[0], len(self._searches[key].points) - len(left)
                yield SearchTurn(study=study, cell=cell, tested=tested, num_in_row=2, num_points=num_asked)

    def _end(self, trial: Trial) -> None:
        self._costs.measure(trial, trial.num_steps, self._seconds(trial), "gpu")
        if (cell := self._search_of.get(trial.identity)) is not None:
            self._awaited[cell] -= 1
            if not self._awaited[cell]:
                self._queue.add(self._searches[cell].tested)


def _cell_of(search: SimulatedSearch) -> Cell:
    tested = search.tested[0]
    return tested.study_name, str(tested.candidate.requested_values)
