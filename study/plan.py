"""Plan of a study: each trial with its state, the searches that decide about further ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.registry import DATASETS, SPECS
from revit.training.metrics import METRICS, PREFIXES
from search_spaces.framework.candidates import Candidate
from search_spaces.framework.sequential_design import SequentialDesign
from search_spaces.framework.space import SearchSpace
from study.layout import DATABASE
from study.ledger.records import TrialRecord
from study.search.cell_search import CellSearch
from study.trial import Trial

if TYPE_CHECKING:
    from study.planning import Planner

TRIAL_METRICS = (
    *(f"{prefix}{name}" for prefix in PREFIXES.values() for name, metric in METRICS.items() if metric.of_predictions),
    *(name for name, metric in METRICS.items() if metric.of_predictions is None),
)
"""Results of a trial: columns of the table of trials."""
TABLE_COLUMNS = frozenset(
    {"seed", "state", "identity", "run_id", "num_test", "n", "mean", "low", "high", "interval", "diverged", "missing"}
    | {"lines", "right", *TRIAL_METRICS}
    | {metric.heading for metric in METRICS.values()}
)
"""Columns of result tables that are not axes."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Folders of a store, of data, of decoded images.

    Attributes:
        store: folder of the results; with a server, of checkpoints and locks only.
        data: folder of downloaded datasets.
        cache: folder of this machine's decoded images.
        server: address of the tracking server that has the results instead; empty for none.
        storage: address of the files that driver and workers share; empty for the store's folder.
        skip_broken: leave out images of the data that cannot be decoded.
    """

    store: Path
    data: Path
    cache: Path
    server: str = ""
    storage: str = ""
    skip_broken: bool = False

    def open_images(self, dataset: str) -> ImageStore:
        """Return the image store of a dataset; see `revit.datasets.image_store.open_store`."""
        return open_store(dataset, data_dir=self.data, cache_dir=self.cache, skip_broken=self.skip_broken)

    @property
    def results(self) -> str:
        """Address of the server or path of the folder that has the results."""
        return self.server or str(self.store)

    @property
    def has_store(self) -> bool:
        """True if there is a store; always true for a server."""
        return bool(self.server) or (self.store / DATABASE).exists()


@dataclass(frozen=True, kw_only=True)
class TrialPreview:
    """Trial whose dataset is not on this machine yet: its steps follow from the registry's sizes."""

    candidate: Candidate
    num_steps: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All trials of a study that are known, in the order in which they would run.

    Attributes:
        trials: tested trials, those of the table. Where the search of a cell is not over, they await it.
        searches: search of each cell, in the order of the cells; none where the study has no nuisance axes.
        seeds: seeds of the tested trials.
        caveats: caveats of its datasets, a line each.
        other_records: trials of the study in the ledger, by the same recipe and scale, that are none of its trials now:
            of an earlier setup, of other cells, or of other seeds.
        further: this plan about each further metric of its space, as `analysis.measured.measure` adds them.
        design: by which its claims are tested while seeds are added; None for a fixed number of seeds.
        planner: made the plan, and makes it again from other records; None for a plan of given trials.
        tables: tables of its results by name, each made once (`study.analysis.results`).
    """

    space: SearchSpace
    trials: Sequence[Trial]
    searches: Sequence[CellSearch] = ()
    seeds: tuple[int, ...] = (0,)
    caveats: Sequence[str] = ()
    other_records: Sequence[TrialRecord] = ()
    further: Sequence["Plan"] = field(default=(), repr=False, compare=False)
    design: SequentialDesign | None = None
    planner: "Planner | None" = field(default=None, repr=False, compare=False)
    tables: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def to_run(self) -> list[Trial]:
        """Known trials that are not completed, each identity once, those of searches first."""
        searched = [trial for search in self.searches for trial in search.to_run]
        unsettled = [search.cell.values for search in self.searches if not search.is_settled]
        tested = [trial for trial in self.trials if trial.candidate.requested_values not in unsettled]
        to_run = [each for each in [*searched, *tested] if not each.state.is_terminal and not each.awaits]
        return list({trial.identity: trial for trial in to_run}.values())

    @property
    def all_trials(self) -> list[Trial]:
        """Known trials of searches, then those that are tested, each identity once."""
        searched = [trial for search in self.searches for point in search.points for trial in point.trials]
        tested = [trial for trial in self.trials if not trial.awaits]
        return list({trial.identity: trial for trial in [*searched, *tested]}.values())

    @property
    def num_unknown(self) -> int:
        """Number of trials that are to be run, and depend on results: points of searches, and what they decide."""
        searched = sum(search.num_unknown for search in self.searches)
        return searched + len(self.seeds) * sum(not search.is_settled for search in self.searches)

    @property
    def to_check(self) -> list[Trial]:
        """Trials that stand for all that are to be run: of those that are not known yet, one per cell and seed."""
        return [*self.to_run, *(trial for trial in self.trials if trial.awaits)]

    @property
    def is_complete(self) -> bool:
        """True if no trial is to be run."""
        return not self.to_run and not self.num_unknown

    def with_records(self, records: Mapping[str, TrialRecord]) -> "Plan":
        """Return the plan with other records of the ledger, by identity."""
        if self.planner is not None:
            return self.planner.plan(records)
        trials = [
            replace(trial, record=records.get(trial.identity), replicates=None, unmeasured="") for trial in self.trials
        ]
        return replace(self, trials=trials)


def first_of_each(trials: Iterable[Trial]) -> dict[str, Trial]:
    """Return trials by identity; of several with one identity, the first, with what each study keeps of it."""
    found: dict[str, Trial] = {}
    for trial in trials:
        first = found.setdefault(trial.identity, trial)
        if not trial.keeps.items() <= first.keeps.items():
            found[trial.identity] = replace(first, keeps={**trial.keeps, **first.keeps})
    return found


def is_registered(space: SearchSpace) -> bool:
    """Return whether the registry has every dataset of a space, so that `preview` works."""
    configs = [candidate.config for candidate in space.candidates(space.seeds[:1])]
    return all(name in SPECS for config in configs for name in (config.dataset, *config.test_sets))


def preview(space: SearchSpace, seeds: tuple[int, ...]) -> list[TrialPreview]:
    """Return all tested trials of a space that `is_registered`, without nuisance values to be found. Reads no files."""
    candidates = [replace(each, nuisance={}) if space.is_searched else each for each in space.candidates(seeds)]
    return [TrialPreview(candidate=each, num_steps=stated_steps(each.config)) for each in candidates]


def stated_steps(config: FineTuneConfig) -> int:
    """Return the optimizer steps of a config by the sizes of its dataset in the registry."""
    num_train = DATASETS[config.dataset].num_train
    num_all = num_train - round(config.val_fraction * num_train)
    return config.num_steps(round(config.data_fraction * num_all), num_all)
