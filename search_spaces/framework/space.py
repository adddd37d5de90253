"""A search space: base config, axes, seeds; compiled to the configs of trials.

SPACE = SearchSpace(
    name="resolution",
    question="Does fine-tuning above the pre-training resolution help?",
    paper="re_vit",
    table="2",
    scientific={"dataset": ("cifar100", "flowers"), "resolution": (512, 384, 224, 128, 64)},
)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from revit.config import FineTuneConfig
from revit.datasets.registry import label_test_set
from revit.errors import InputError
from revit.fields import fields_by_path
from revit.validation import check_types, require, require_one_line, with_tuples
from search_spaces.framework.axes import Axis, NuisanceAxis, check_axes, fields_of, first_repeated, levels_of
from search_spaces.framework.candidates import SEARCHED, Candidate, check_effects, make_candidate
from search_spaces.framework.cells import Point, StudyCell, cells_of, check_cell_fields
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.claim_metrics import check_claim_metric
from search_spaces.framework.claims import Claim, check_claim
from search_spaces.framework.kept_seeds import KEEP_DEFAULT, KeepModels, check_best_is_known
from search_spaces.framework.proxy_metrics import metrics_at
from search_spaces.framework.published import Paper, Published, read_paper
from search_spaces.framework.ranges import Range
from search_spaces.framework.recipes import FLOWERS, FLOWERS_SPLITS, RECIPES, Experiment, RecipeContext
from search_spaces.framework.scales import SCALES, check_proxies
from search_spaces.framework.search import DEFAULT_NUM_TRIALS, Sampler, Search
from search_spaces.framework.search_checks import check_search


class NoRecipeError(InputError):
    """A study starts from a config of its own, and was given a scale or a recipe."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Question of a study, and the trials that answer it. Every value is checked when the space is built.

    It starts either from a recipe, at a scale, or from a base config, which has neither.

    Attributes:
        name: name of the study, and of its module.
        question: one sentence, shown wherever the study is.
        scientific: axes whose values the study compares, as at paper scale.
        nuisance: axes searched inside each cell, on validation images. The best point of a cell is then trained on
            training and validation images with each of the study's seeds, and tested.
        search: how they are searched.
        fixed: values that override the recipe.
        constraint: predicate over the typed config at paper scale; points for which it is False are left out.
        seeds: every cell is trained with each of them.
        keep_models: whose weights are kept: of no trial, of each cell's first seed, of its seed with the best value of
            `tuned_metric` on validation images, or of every tested trial.
        claims: what the study is said to show; each gets a verdict from its results.
        metric: a key of METRICS, which tables, claims, figures and tuning are about. `accuracy@NAME` is of a further
            test set, `accuracy_change@NAME` less that of the own one. The tuning is by own validation images.
        metrics: further metrics, each of them a column of the results.
        tuned_by: key of METRICS that the tuning is about; None for the study's metric.
        columns: scientific axes that go across in a table; the others go down.
        paper: paper whose numbers are shown beside the results, as `published.read_paper` takes it; None for none.
        table: name of that paper's table (`5`, `6a`) whose experiment it repeats.
        recipe: a key of RECIPES.
        experiment: kind of experiment, for which a recipe may have values of its own (see `recipes.Experiment`).
        scale: a key of SCALES.
        proxies: nano values over those of `scales.PROXIES`: by config field, for each value at paper scale.
        base: fixed hyperparameters of a study without a recipe.
        settings: values of every trial as trained, after recipe and scale (see `choices.with_settings`).
        is_reread: it is read about another metric than its own (see `about`).
        cells: labels of scientific axes to which its trials are limited (see `choices.with_cells`).

    Raises:
        InputError: an unknown axis, an invalid or repeated value, a claim about values that the study does not have,
            or no trial at all.
    """

    name: str
    question: str
    scientific: Mapping[str, Axis]
    nuisance: Mapping[str, NuisanceAxis] = field(default_factory=dict)
    search: Search = field(default_factory=Search)
    fixed: Mapping[str, object] = field(default_factory=dict)
    constraint: Callable[[FineTuneConfig], bool] | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    keep_models: KeepModels = KEEP_DEFAULT
    claims: tuple[Claim, ...] = ()
    metric: str = "accuracy"
    metrics: tuple[str, ...] = ()
    tuned_by: str | None = None
    columns: tuple[str, ...] = ()
    paper: str | Path | None = None
    table: str | None = None
    recipe: str = "paper"
    experiment: Experiment = "transfer"
    scale: str = "paper"
    proxies: Mapping[str, object] = field(default_factory=dict)
    base: FineTuneConfig | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    cells: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    is_reread: bool = False

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            object.__setattr__(self, name, with_tuples(value))  # lists are allowed, too
        try:
            self._check_fields()
            self._check_candidates()
        except InputError as error:
            raise InputError(f"search space {self.name}: {error}") from error

    def _check_fields(self) -> None:
        check_types(self, exclude=("scientific", "nuisance", "search"))
        require(isinstance(self.search, Search), "search", self.search, "a Search(...)")
        require_one_line("name", self.name)
        require_one_line("question", self.question)
        require(self.recipe in RECIPES, "recipe", self.recipe, f"one of {', '.join(RECIPES)}")
        require(self.scale in SCALES, "scale", self.scale, f"one of {', '.join(SCALES)}")
        check_proxies(self.proxies, has_scales=self.base is None)
        check_axes(self.scientific, self.nuisance)  # a recipe's own cannot clash
        labels = {name: tuple(label for label, _ in levels_of(name, axis)) for name, axis in self.scientific.items()}
        for claim in self.claims:
            check_claim(claim, labels)
        if self.metric != "accuracy" or self.metrics or self.tuned_by:
            self._check_metric()
        for claim in self.claims:
            check_claim_metric(claim, self.metric)
        for axis in self.columns:
            if axis not in self.scientific:
                raise InputError(f"columns has {axis!r}, which is not a scientific axis")
        require(len(set(self.seeds)) == len(self.seeds), "seeds", self.seeds, "different")
        self._check_published()

    def _check_published(self) -> None:
        require((self.paper is None) == (self.table is None), "table", self.table, "given where `paper` is")
        if self.reproduced is None:
            return
        tables = dict.fromkeys(row.table for row in self.reproduced.rows)
        require(self.table in tables, "table", self.table, f"one of {', '.join(tables)} in {self.reproduced.file}")
        for axis in {axis for row in self.reproduced.rows_of(str(self.table)) for axis in row.point}:
            if axis not in self.scientific and axis not in fields_by_path(FineTuneConfig):
                raise InputError(f"{self.reproduced.file}, column {axis}: neither a config field nor one of its axes")

    def _check_metric(self) -> None:
        from revit.training.metrics import find_metric  # loads numpy, which lists of studies do without

        shown = [self.metric, *self.metrics]
        for name in (*shown, self.tuned_metric):
            find_metric(name)
        require(len(set(shown)) == len(shown), "metrics", self.metrics, "different, and without the study's metric")
        has_val_value = find_metric(self.tuned_metric).of_predictions is not None
        right = "a metric of predictions, as nuisance axes are tuned on validation images"
        require(has_val_value or not self.nuisance_axes, "metric", self.tuned_metric, right)

    def _check_candidates(self) -> None:
        for cell in self._crossed_cells():
            check_cell_fields(cell, self.scientific)
        cells = self.list_cells()
        if not cells or not self.seeds:
            raise InputError("it has no trials: no seeds, or `constraint` leaves out every point")
        check_search(self.search, self.nuisance_axes, self.tuned_metric)
        candidates = [self._checked_candidate(cell, point) for cell in cells for point in self._allowed_points(cell)]
        repeated = first_repeated([str(each.point) for each in candidates])
        if repeated is not None:
            raise InputError(f"at scale {self.scale} two of its points are one: {repeated}")
        check_effects(candidates)

    def _checked_candidate(self, cell: StudyCell, point: Point) -> Candidate:
        """Return the candidate of a point, of a search trial where there is a search."""
        config = self._trained_config(cell, point, self.seeds[0])
        require(config.test, "test", config.test, "True: only a search sets it")
        labels = [label_test_set(name) for name in config.test_sets]
        for name in (self.metric, *self.metrics, *self.claim_metrics):
            if "@" in name and name.partition("@")[2] not in labels:
                raise InputError(f"metric {name}: its trials are not tested on it; name it in test_sets")
        if self.keep_models == "best":
            tested = self.candidate(cell, point, self.seeds[0]).config
            check_best_is_known(tested, self.tuned_metric, is_searched=self.is_searched)
        if not self.is_searched:
            return self.candidate(cell, point, self.seeds[0])
        right = "above 0, as nuisance axes are tuned on validation images"
        require(config.val_fraction > 0, "val_fraction", config.val_fraction, right)
        if self.search.prunes_curves and config.eval_every is None:
            right = f"above 1, as pruner = {self.search.pruner!r} compares validations while training"
            require(config.num_evals > 1, "num_evals", config.num_evals, right)
        return self.search_candidate(cell, point, self.search.seeds[0])

    def variant(self, *, scale: str | None = None, recipe: str | None = None) -> "SearchSpace":
        """Return the same study at another scale, or by another recipe; None leaves either unchanged.

        Raises:
            InputError: an unknown scale or recipe, or the study starts from a base config of its own.
        """
        if self.base is not None and (scale or recipe):
            raise NoRecipeError(f"{self.name} starts from a config of its own: it has neither scales nor recipes")
        scale = scale or self.scale
        return replace(self, scale=scale, recipe=recipe or self.recipe, **metrics_at(scale, self))

    @property
    def nuisance_axes(self) -> Mapping[str, NuisanceAxis]:
        """Nuisance axes of the study, and those of its recipe whose fields the study does not set itself."""
        if self.base is not None:
            return self.nuisance
        explicit = self.explicit_fields
        of_recipe = {path: axis for path, axis in RECIPES[self.recipe].nuisance.items() if path not in explicit}
        return {**self.nuisance, **of_recipe}

    @property
    def is_searched(self) -> bool:
        """True if it has nuisance axes, which are searched."""
        return bool(self.nuisance_axes)

    @property
    def sampler(self) -> Sampler:
        """Sampler of its search."""
        is_grid = not any(isinstance(axis, Range) for axis in self.nuisance_axes.values())
        return self.search.sampler or ("grid" if is_grid else "quasi_random")

    @property
    def claim_metrics(self) -> tuple[str, ...]:
        """Metrics that claims name, beside the study's own."""
        return tuple(dict.fromkeys(claim.metric for claim in self.claims if claim.metric not in {None, self.metric}))

    @property
    def objectives(self) -> tuple[str, ...]:
        """Metrics that its search optimizes, keys of METRICS."""
        return self.search.objectives or (self.tuned_metric,)

    @property
    def tuned_metric(self) -> str:
        """Metric by whose value on own validation images its search compares points, a key of METRICS."""
        if self.tuned_by or "@" not in self.metric:
            return self.tuned_by or self.metric
        from revit.training.metrics import own_key  # loads numpy, which lists of studies do without

        return own_key(self.metric)

    def about(self, metric: str) -> "SearchSpace":
        """Return the same study about another metric, without its claims: same trials, same searches."""
        metrics = tuple(name for name in (self.metric, *self.metrics) if name != metric)
        tuned_by = self.tuned_metric if self.is_searched or self.keep_models == "best" else None
        is_reread = self.is_reread or metric != self.metric
        return replace(self, metric=metric, metrics=metrics, tuned_by=tuned_by, claims=(), is_reread=is_reread)

    def num_points(self, cell: StudyCell) -> int:
        """Return how many points the search of a cell has, if it has as many."""
        wanted = self.search.num_trials
        if self.sampler == "grid":
            size = len(self._allowed_points(cell))
            return size if wanted is None else min(wanted, size)
        wanted = DEFAULT_NUM_TRIALS if wanted is None else wanted
        return min(wanted, cell.num_grid_points) if cell.is_finite else wanted

    @property
    def explicit_fields(self) -> frozenset[str]:
        """Config fields that the study sets itself, by dotted path: in `fixed`, by its axes, and in `settings`."""
        return frozenset({*self.fixed, *self.settings, *fields_of({**self.scientific, **self.nuisance})})

    @property
    def trained_values(self) -> Mapping[str, Mapping[Value, Value]]:
        """Trained value for each requested one, by scientific axis; only axes where it is the same in every cell."""
        cells = [(each.requested_values, each.cell) for each in self.candidates(self.seeds[:1])]
        pairs = {axis: {(requested[axis], cell[axis]) for requested, cell in cells} for axis in self.scientific}
        return {axis: dict(found) for axis, found in pairs.items() if len(dict(found)) == len(found)}

    @property
    def reproduced(self) -> Paper | None:
        """The paper, with its published numbers."""
        return None if self.paper is None else read_paper(self.paper)

    def published(self, candidate: Candidate) -> list[Published]:
        """Return the published results of a cell, by the paper and from elsewhere, in the order of the paper's file.

        They are accuracies: a study about another metric has none.
        """
        return [row for row in self._published_of(candidate) if row.epoch is None and self.metric == "accuracy"]

    def published_curve(self, candidate: Candidate) -> list[Published]:
        """Return the points of the published curves of a cell."""
        return [row for row in self._published_of(candidate) if row.epoch is not None]

    def _published_of(self, candidate: Candidate) -> list[Published]:
        if self.reproduced is None or self.table is None:
            return []
        trained = {**self.paper_config(candidate.requested_values).flat(), **self.settings}
        values = {**trained, **candidate.requested_values}
        cell: dict[str, tuple[Value, ...]] = {axis: (value,) for axis, value in values.items()}
        cell |= dict.fromkeys(
            fields_of(self._cell_of(candidate.requested_values).axes), ()
        )  # tuned: no value of theirs
        if trained["dataset"] in FLOWERS_SPLITS:
            cell["dataset"] = (trained["dataset"], FLOWERS)
        explicit = {*self.fixed, *self.settings, *self.scientific, *fields_of(self.scientific)}
        rows = [row for row in self.reproduced.rows_of(self.table) if row.metric == "accuracy"]
        return [row for row in rows if self.reproduced.is_about(row, cell, explicit)]

    @property
    def tags(self) -> dict[str, str]:
        """Tags of its runs in the ledger: the study, and the recipe and scale that it starts from."""
        start = {} if self.base is not None else {"recipe": self.recipe, "scale": self.scale}
        return {"study": self.name, **start}

    @property
    def caveat(self) -> str:
        """Caveat of its scale, shown beside every result; empty for none."""
        return "" if self.base is not None else SCALES[self.scale].caveat

    def list_cells(self) -> list[StudyCell]:
        """Return its cells: those to which it is limited, and of which `constraint` keeps a point."""
        return [cell for cell in self._crossed_cells() if self._has_cell(cell.values) and self._allowed_points(cell)]

    def _crossed_cells(self) -> list[StudyCell]:
        return list(cells_of(self.scientific, self.nuisance_axes))

    def _has_cell(self, values: Mapping[str, Value]) -> bool:
        return all(values[axis] in labels for axis, labels in self.cells.items())

    def _allowed_points(self, cell: StudyCell) -> list[Point]:
        return [point for point in cell.checked_points() if self.allows(cell, point)]

    def allows(self, cell: StudyCell, point: Point) -> bool:
        """Return whether `constraint` keeps a point of a cell."""
        return self.constraint is None or self.constraint(self._paper_config(cell.fields_of(point)))

    def candidates(self, seeds: tuple[int, ...]) -> list[Candidate]:
        """Return the trials of its table, all cells of a seed before the next seed.

        Where there is a search, the point of a cell is not known yet: each has its first one in its place.
        """
        cells = self.list_cells()
        points = [self._allowed_points(cell)[0] for cell in cells]
        return [self.candidate(cell, each, seed) for seed in seeds for cell, each in zip(cells, points, strict=True)]

    def candidate(self, cell: StudyCell, point: Point, seed: int) -> Candidate:
        """Return the trial of a point that is tested.

        Where there is a search, it is trained on the validation images, too, unless its schedule or selection needs
        them.
        """
        config = self._trained_config(cell, point, seed)
        if self.is_searched and not config.needs_val:
            config = config.with_values({"val_fraction": 0.0})
        return make_candidate(cell, point, config)

    def search_candidate(self, cell: StudyCell, point: Point, seed: int) -> Candidate:
        """Return the trial of a point that is compared with others on validation images, and never tested."""
        config = self._trained_config(cell, point, seed)
        return make_candidate(cell, point, config.with_values(SEARCHED))

    def _trained_config(self, cell: StudyCell, point: Point, seed: int) -> FineTuneConfig:
        paper_config = self._paper_config({**cell.fields_of(point), "seed": seed})
        config = paper_config if self.base is not None else SCALES[self.scale].shrink(paper_config, self.proxies)
        return config.with_values(self.settings) if self.settings else config

    def paper_config(self, requested_values: Mapping[str, Value]) -> FineTuneConfig:
        """Return a cell's config at paper scale, with its first seed and first nuisance values.

        Args:
            requested_values: those of a Candidate.
        """
        cell = self._cell_of(requested_values)
        return self._paper_config({**cell.fields_of(cell.first_point), "seed": self.seeds[0]})

    def _cell_of(self, requested_values: Mapping[str, Value]) -> StudyCell:
        return next(each for each in self._crossed_cells() if each.values == requested_values)

    def _paper_config(self, values: Mapping[str, object]) -> FineTuneConfig:
        """Return the config of one point at paper scale.

        Args:
            values: config fields that its axes set, by dotted path.
        """
        explicit: dict[str, Any] = {**self.fixed, **values}
        if self.base is not None:
            return self.base.with_values(explicit)
        if "dataset" not in explicit:
            raise InputError("it names no dataset: give it as an axis, or in `fixed`")
        recipe = RECIPES[self.recipe]
        if explicit["dataset"] == FLOWERS:
            explicit["dataset"] = recipe.flowers
        if "steps" in explicit or "epochs" in explicit:  # one budget replaces the other
            explicit = {"steps": None, "epochs": None, **explicit}
        known: dict[str, Any] = {**explicit, **self.settings}
        context = RecipeContext(
            experiment=self.experiment,
            dataset=str(explicit["dataset"]),
            data_fraction=known.get("data_fraction", 1.0),
            model=explicit.get("model.name"),
            optimizer=known.get("optimizer.name"),
            schedule=known.get("schedule.name"),
        )
        blank = FineTuneConfig(dataset=context.dataset, resolution=224, steps=1)
        return blank.with_values({**recipe.values(context), **explicit})
