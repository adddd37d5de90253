"""Planning: from a search space with the records of a ledger to the plan of a study."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from itertools import zip_longest

from revit.budget import compile_budget
from revit.config import FineTuneConfig
from revit.datasets.registry import caveats
from revit.errors import InputError
from revit.identity import identity
from revit.training.metrics import METRICS, find_metric
from search_spaces.framework.candidates import Candidate
from search_spaces.framework.cells import Point, StudyCell
from search_spaces.framework.kept_seeds import keeps_seed
from search_spaces.framework.sequential_design import SequentialDesign
from search_spaces.framework.space import SearchSpace
from study.inputs import Inputs
from study.ledger.records import SearchTag, TrialRecord, config_tags, request_key, study_tags
from study.ledger.reuse import find_record, identities_with_test
from study.ledger.schema import RECIPE_TAG, SCALE_TAG, SEARCH_PREFIX, STUDY_PREFIX, compared_name, num_test_name
from study.ledger.states import TrialState
from study.plan import TABLE_COLUMNS, Folders, Plan
from study.search.cell_search import CellSearch, SearchPoint
from study.search.samplers import propose
from study.staleness import staleness_reason
from study.trial import Trial

Records = Mapping[str, TrialRecord]
"""Records of the ledger by identity, the newest first."""
RequestKey = tuple[str | None, ...]
"""Point with seed, recipe, scale that a study asked for (`study.ledger.records.request_key`)."""
EMPTY: Mapping[RequestKey, TrialRecord] = {}


def make_plan(
    space: SearchSpace,
    seeds: tuple[int, ...],
    folders: Folders,
    records: Records,
    *,
    for_report: bool = False,
    design: SequentialDesign | None = None,
) -> Plan:
    """Return the plan of a space. Decodes datasets that were never decoded on this machine; does not import torch.

    Args:
        for_report: images and weights may be missing where trials with them are recorded.
        design: by which its claims are tested, if not with a fixed number of seeds.

    Raises:
        InputError: a dataset or weights are missing, an image cannot be decoded, or a fraction leaves a
            class empty.
    """
    for axis in sorted({*space.scientific, *space.nuisance_axes} & TABLE_COLUMNS):
        raise InputError(
            f"search space {space.name}: axis {axis}: tables have a column of that name; name it differently"
        )
    inputs = Inputs(folders.open_images, list(records.values()) if for_report else ())
    return Planner(space, seeds, inputs, design).plan(records)


class Planner:
    """Makes the trials of a space, and rebuilds its searches from records.

    Args:
        seeds: of the tested trials.
        design: by which claims are tested, if not with a fixed number of seeds.

    Attributes:
        search_tag: name of the tag of the trials of its search.
    """

    def __init__(
        self, space: SearchSpace, seeds: tuple[int, ...], inputs: Inputs, design: SequentialDesign | None = None
    ) -> None:
        self.space = space
        self.seeds = seeds
        self.design = design
        self.cells = space.list_cells()
        self.search_tag = f"{SEARCH_PREFIX}{space.name}.{_search_digest(space)}"
        self._inputs = inputs
        self._made: dict[FineTuneConfig, Trial] = {}
        self._points: dict[tuple[object, ...], Candidate] = {}
        self._candidates: dict[tuple[object, ...], Candidate] = {}
        self._seeds_of: Callable[[Point], tuple[int, ...]] = lambda _: seeds

    def with_seeds_of(self, seeds_of: Callable[[Point], tuple[int, ...]], seeds: tuple[int, ...]) -> "Planner":
        """Return a planner that tests each cell with seeds of its own.

        Args:
            seeds_of: function of a cell's values on the scientific axes.
            seeds: that every cell has.
        """
        planner = copy(self)
        planner.seeds, planner._seeds_of = seeds, seeds_of
        return planner

    def plan(self, records: Records) -> Plan:
        """Return the plan: of searches what is recorded of them, and the tested trials that are decided."""
        former = self._former_trials(records)
        searches = [self.search(cell, records) for cell in self.cells]
        tested = [self.tested_trials(search, records, former) for search in searches]
        trials = [trial for of_seed in zip_longest(*tested) for trial in of_seed if trial is not None]
        planned = Plan(
            space=self.space,
            trials=trials,
            searches=searches if self.space.is_searched else (),
            seeds=self.seeds,
            caveats=self._caveats(trials),
            design=self.design,
            planner=self,
        )
        return replace(planned, other_records=self._other_records(planned, records))

    def tested_trials(
        self, search: CellSearch, records: Records, former: Mapping[RequestKey, TrialRecord] = EMPTY
    ) -> list[Trial]:
        """Return the trials of a cell's table, one per seed; they await its search if that is not over."""
        cell, point, seeds = search.cell, search.chosen, self._seeds_of(search.cell.values)
        if point is not None:
            candidates = [self._candidate(self.space.candidate, cell, point, seed) for seed in seeds]
            return [self._with_record(candidate, records, former) for candidate in candidates]
        candidates = [self._candidate(self.space.candidate, cell, cell.first_point, seed) for seed in seeds]
        trials = [self._make(replace(candidate, nuisance={})) for candidate in candidates]
        return [replace(trial, identity="", awaits=search.status) for trial in trials]

    def search(self, cell: StudyCell, records: Records) -> CellSearch:
        """Return the search of a cell, as far as it is recorded."""
        numbered: dict[int, SearchPoint] = {}
        stale = ""
        places = self._places(cell, records) if cell.axes else []  # a study may have as many cells as trials
        given_up = {tag.number for _, tag in places if tag.is_given_up}  # one of its trials says so
        for record, tag in places:
            if tag.number in numbered:
                continue
            point = self._search_point(cell, replace(tag, is_given_up=tag.number in given_up), records)
            if record.run_id in {trial.record.run_id for trial in point.trials if trial.record is not None}:
                numbered[tag.number] = point
            else:
                first = point.trials[0]
                stale = stale or staleness_reason(record, first.candidate.config, first.input_digests)
        search = CellSearch(
            cell=cell,
            points=[numbered[number] for number in sorted(numbered)],
            num_points=self.space.num_points(cell) if cell.axes else 0,
            num_seeds=len(self.space.search.seeds),
            objectives=self.space.objectives,
            time_budget_s=self.space.search.time_budget_s,
            staleness_reason=stale,
        )
        is_stuck = search.num_left and cell.is_finite and all(point.has_ended for point in search.points)
        return replace(search, is_exhausted=True) if is_stuck and self.ask(search, records) is None else search

    def _places(self, cell: StudyCell, records: Records) -> list[tuple[TrialRecord, SearchTag]]:
        """Return the records of the search of a cell, with their places in it."""
        texts = [(each, each.tags[self.search_tag]) for each in records.values() if self.search_tag in each.tags]
        tagged = [(record, SearchTag.from_json(text)) for record, text in texts]
        return [(record, tag) for record, tag in tagged if tag is not None and tag.cell == cell.values]

    def ask(self, search: CellSearch, records: Records) -> SearchPoint | None:
        """Return the next point of a search; None where every point of the cell has been asked for."""
        seen = {trial.identity for point in search.points for trial in point.trials}

        def at(values: Point) -> SearchPoint:
            tag = SearchTag(cell=search.cell.values, number=search.next_number, point=values)
            return self._search_point(search.cell, tag, records)

        values = propose(
            search.cell.axes,
            replace(self.space.search, sampler=self.space.sampler),
            search.history,
            seed=f"{self.search_tag} {search.cell.values}",
            signs=[METRICS[name].sign for name in search.objectives],
            is_excluded=lambda values: (
                not self.space.allows(search.cell, values) or at(values).trials[0].identity in seen
            ),
        )
        return None if values is None else at(values)

    def _search_point(self, cell: StudyCell, tag: SearchTag, records: Records) -> SearchPoint:
        seeds = self.space.search.seeds
        candidates = [self._candidate(self.space.search_candidate, cell, tag.point, each) for each in seeds]
        trials = [self._with_record(candidate, records) for candidate in candidates]
        tags = {self.search_tag: replace(tag, is_given_up=False).to_json()}
        return SearchPoint(
            number=tag.number,
            values=tag.point,
            trials=tuple(replace(each, tags=tags, unmeasured=self._find_unmeasured(each)) for each in trials),
            is_given_up=tag.is_given_up,
            is_sequential=self.space.search.pruner == "wilcoxon",
        )

    def _find_unmeasured(self, trial: Trial) -> str:
        """Return why a finished trial of a search has no value of an objective; empty if it has all."""
        if trial.record is None or trial.state != TrialState.FINISHED:
            return ""
        names = (compared_name(metric) for metric in self.space.objectives)
        return next((f"without {name}" for name in names if name not in trial.record.metrics), "")

    def _candidate(
        self, make: Callable[[StudyCell, Point, int], Candidate], cell: StudyCell, values: Point, seed: int
    ) -> Candidate:
        """Return the candidate of a point, made once: a launch plans again from newer records.

        The candidates of its other seeds differ only in the seed, which is never an axis.
        """
        point = (make.__name__, *cell.values.items(), *values.items())
        key = (*point, seed)
        if point not in self._points:
            self._points[point] = self._candidates[key] = make(cell, values, seed)
        if key not in self._candidates:
            first = self._points[point]
            self._candidates[key] = replace(first, config=first.config.with_seed(seed))
        return self._candidates[key]

    def _with_record(
        self, candidate: Candidate, records: Records, former: Mapping[RequestKey, TrialRecord] = EMPTY
    ) -> Trial:
        trial = self._make(candidate)
        record = find_record(trial.identity, trial.identities_with_test, records)
        if record is not None or not former:
            return replace(trial, record=record)
        requested = study_tags(self.space.name, cell=candidate.cell, point=candidate.point)
        key = request_key({**self.space.tags, **requested, **config_tags(candidate.config)}, self.space.name)
        old = former.get(key)
        reason = staleness_reason(old, candidate.config, trial.input_digests) if old else ""
        return replace(trial, staleness_reason=reason)

    def _make(self, candidate: Candidate) -> Trial:
        """Return the trial of a candidate, without a record."""
        config = candidate.config
        if config not in self._made:
            images = self._inputs.images(config)
            weights, weights_digest = self._inputs.weights(config.model)
            budget = compile_budget(config, images.num_train, images.num_all)
            digests = images.digests(config, weights_digest)
            self._made[config] = Trial(
                candidate=candidate,
                identity=identity(config, budget, digests),
                images=images.folder,
                weights=weights,
                num_steps=budget.num_steps,
                num_test=images.sizes.get(num_test_name(find_metric(self.space.metric).test_set), images.num_test),
                record=None,
                input_digests=digests.by_name(),
                sizes=images.sizes,
                test_sets={label: each.folder for label, each in images.test_sets.items()},
                study=self.space.tags,
                keeps={self.space.name: keeps_seed(self.space.keep_models, config.seed, self.seeds[0])}
                if config.test
                else {},
                identities_with_test=identities_with_test(config, budget, digests),
            )
        return replace(self._made[config], candidate=candidate)

    def _former_trials(self, records: Records) -> dict[RequestKey, TrialRecord]:
        """Return the completed trials of the study by what it asked for, whether or not it would ask for them now.

        Trials of its searches are left out: one that another study has tested was not tested for this one.
        """
        search = f"{SEARCH_PREFIX}{self.space.name}."
        of_study = [each for each in records.values() if each.state.is_terminal and self.space.name in each.studies]
        asked = [each for each in of_study if not any(tag.startswith(search) for tag in each.tags)]
        return {request_key(record.tags, self.space.name): record for record in asked}

    def _other_records(self, planned: Plan, records: Records) -> list[TrialRecord]:
        """Return the records of the study, by its recipe and scale, that none of its trials has."""
        known = {trial.record.run_id for trial in planned.all_trials if trial.record is not None}
        tag, start = (
            f"{STUDY_PREFIX}{self.space.name}",
            (self.space.tags.get(RECIPE_TAG), self.space.tags.get(SCALE_TAG)),
        )
        of_study = [each for each in records.values() if tag in each.tags and each.run_id not in known]
        return [each for each in of_study if (each.tags.get(RECIPE_TAG), each.tags.get(SCALE_TAG)) == start]

    def _caveats(self, trials: Sequence[Trial]) -> Sequence[str]:
        configs = [trial.candidate.config for trial in trials]
        datasets = list(dict.fromkeys(name for each in configs for name in (each.dataset, *each.test_sets)))
        found = [line for dataset in datasets for line in self._inputs.caveats(dataset)]
        return [*caveats(datasets), *found]


def _search_digest(space: SearchSpace) -> str:
    """Return the digest of what makes a search of a study another one, with points of its own."""
    search = space.search
    axes = {name: str(axis) for name, axis in space.nuisance_axes.items()}
    record = (space.tags, axes, space.sampler, search.pruner, search.seeds, space.objectives)
    return hashlib.sha256(repr(record).encode()).hexdigest()[:8]


def is_pruned_elsewhere(trial: Trial, search_tag: str) -> bool:
    """Return whether another search has given a trial up, so that this one trains it on."""
    record = trial.record
    return record is not None and record.state == TrialState.PRUNED and search_tag not in record.tags
