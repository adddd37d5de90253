"""A search space: a recipe or a base config, the axes a study compares, the seeds; compiled to configs.

SPACE = SearchSpace(
    name="resolution",
    question="Does fine-tuning above the pre-training resolution help?",
    table=2,
    scientific={"dataset": ("cifar100", "flowers"), "resolution": (512, 384, 224, 128, 64)},
)
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.inactive import without_inactive
from revit.validation import check_types, require_one_line, short_repr, with_tuples
from search_spaces.framework.claims import Claim, Value, check_named
from search_spaces.framework.recipes import FLOWERS, RECIPES, RecipeContext
from search_spaces.framework.scales import SCALES

Axis = tuple[Value, ...] | Mapping[str, Mapping[str, object]]
"""Values of the config field that the axis is named after; or named levels, each setting several fields."""


TABLE_COLUMNS = frozenset(
    {"seed", "state", "identity", "run_id", "num_test", "n", "mean", "low", "high", "interval", "diverged", "missing"}
    | {"selected_val_accuracy", "test_accuracy", "test_loss", "train_time_s", "test accuracy, %", "lines", "right"}
)
"""Columns of result tables, beside which axes stand: no axis may bear such a name."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One trial that a space asks for.

    Attributes:
        cell: its value on each scientific axis; a number in a table.
        nuisance: its value on each nuisance axis.
        config: what it trains, seed included.
        asked: its cell in the study's own terms, as its axes and claims name it, whatever the scale and recipe.
        original: the config at the paper's scale.
    """

    cell: Mapping[str, Value]
    nuisance: Mapping[str, Value]
    config: FineTuneConfig
    asked: Mapping[str, Value]
    original: FineTuneConfig

    @property
    def point(self) -> Mapping[str, Value]:
        """Its value on every axis, the scientific ones first."""
        return {**self.cell, **self.nuisance}


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What a study asks. Checked whole when it is built: no bad value waits for a GPU to be found.

    It starts either from a recipe, at a scale, or from a base config, which has neither.

    Attributes:
        name: of the study; its module's name.
        question: one sentence, shown wherever the study is.
        scientific: the axes whose values the study compares, in the paper's terms.
        nuisance: the axes tuned inside each cell, on validation accuracy averaged over seeds.
        fixed: values that the study sets itself, against its recipe.
        keep: a named predicate over the typed config, at the paper's scale; points it refuses are not run.
        seeds: every cell is trained with each of them.
        claims: what it is said to show, each judged from its results.
        columns: scientific axes that go across in a table; the others go down.
        table: the paper's table whose experiment it repeats; None for a new question.
        recipe: a key of RECIPES.
        scale: a key of SCALES.
        base: the fixed hyperparameters, where they come from no recipe.

    Raises:
        InputError: an unknown axis, an impossible value, a value twice, a claim about what it does not have, or
            nothing left to run.
    """

    name: str
    question: str
    scientific: Mapping[str, Axis]
    nuisance: Mapping[str, Axis] = field(default_factory=dict)
    fixed: Mapping[str, object] = field(default_factory=dict)
    keep: Callable[[FineTuneConfig], bool] | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    claims: tuple[Claim, ...] = ()
    columns: tuple[str, ...] = ()
    table: int | None = None
    recipe: str = "paper"
    scale: str = "paper"
    base: FineTuneConfig | None = None

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            object.__setattr__(self, name, with_tuples(value))  # lists are as good
        try:
            check_types(self, exclude=("scientific", "nuisance"))
            require_one_line("name", self.name)
            require_one_line("question", self.question)
            _check_known("recipe", self.recipe, RECIPES)
            _check_known("scale", self.scale, SCALES)
            _check_axes(self.scientific, self.nuisance)
            labels = {name: tuple(label for label, _ in _levels(name, axis)) for name, axis in self.scientific.items()}
            for claim in self.claims:
                check_named(claim, labels)
            for axis in self.columns:
                if axis not in self.scientific:
                    raise InputError(f"columns has {axis!r}, which is no scientific axis")
            if len(set(self.seeds)) < len(self.seeds):
                raise InputError(f"seeds = {self.seeds}: must differ")
            asked = self.candidates(self.seeds[:1])
            if not asked:
                raise InputError("it asks for no trial: no seeds, or `keep` refuses every point")
            if self.nuisance_axes and any(each.config.val_fraction == 0 for each in asked):
                raise InputError("nuisance axes are tuned on validation images, and val_fraction is 0")
            twice = _first_repeated([str(each.point) for each in asked])
            if twice is not None:
                raise InputError(f"at scale {self.scale} two of its points are one: {twice}")
            _check_effects(asked)
        except InputError as error:
            raise InputError(f"search space {self.name}: {error}") from error

    def at(self, scale: str | None, recipe: str | None) -> "SearchSpace":
        """The same study at another scale, by another recipe; None leaves each as it is.

        Raises:
            InputError: no such scale or recipe, or the study starts from a base config of its own.
        """
        if self.base is not None and (scale or recipe):
            raise InputError(f"{self.name} starts from a config of its own: it has neither scales nor recipes")
        return replace(self, scale=scale or self.scale, recipe=recipe or self.recipe)

    @property
    def nuisance_axes(self) -> Mapping[str, Axis]:
        """The nuisance axes: the study's own, and those of its recipe that the study leaves open."""
        if self.base is not None:
            return self.nuisance
        fields = self.fields
        open_ones = {path: axis for path, axis in RECIPES[self.recipe].nuisance.items() if path not in fields}
        return {**self.nuisance, **open_ones}

    @property
    def fields(self) -> frozenset[str]:
        """The fields of a config that the study sets itself, by dotted path: `fixed` ones, and those of its axes."""
        axes = {**self.scientific, **self.nuisance}.items()
        return frozenset(
            {*self.fixed, *(path for name, axis in axes for _, level in _levels(name, axis) for path in level)}
        )

    @property
    def terms(self) -> Mapping[str, Mapping[Value, Value]]:
        """By scientific axis, what scale and recipe make of its values, where that is the same in every cell."""
        asked = self.candidates(self.seeds[:1])
        pairs = {axis: {(each.asked[axis], each.cell[axis]) for each in asked} for axis in self.scientific}
        return {axis: dict(found) for axis, found in pairs.items() if len(dict(found)) == len(found)}

    @property
    def tags(self) -> dict[str, str]:
        """What its runs are marked with: the study, and the recipe and scale that it starts from."""
        start = {} if self.base is not None else {"recipe": self.recipe, "scale": self.scale}
        return {"study": self.name, **start}

    @property
    def note(self) -> str:
        """What is to be said wherever its results are shown."""
        return "" if self.base is not None else SCALES[self.scale].note

    def candidates(self, seeds: tuple[int, ...]) -> list[Candidate]:
        """Every trial the space asks for, all cells of a seed before the next seed."""
        cells = list(_points(self.scientific))
        tuned = list(_points(self.nuisance_axes))
        asked: list[Candidate] = []
        for seed, (cell, cell_values), (nuisance, nuisance_values) in itertools.product(seeds, cells, tuned):
            original = self._config({**cell_values, **nuisance_values, "seed": seed})
            if self.keep is not None and not self.keep(original):
                continue
            config = original if self.base is not None else SCALES[self.scale].shrink(original)
            flat = config.flat()
            asked.append(
                Candidate(
                    cell=_shown(cell, flat),
                    nuisance=_shown(nuisance, flat),
                    config=config,
                    asked=cell,
                    original=original,
                )
            )
        return asked

    def _config(self, values: Mapping[str, object]) -> FineTuneConfig:
        """The config of one point at the paper's scale."""
        own = {**self.fixed, **values}
        if self.base is not None:
            return self.base.with_values(own)
        if "dataset" not in own:
            raise InputError("it names no dataset: give it as an axis, or in `fixed`")
        recipe = RECIPES[self.recipe]
        if own["dataset"] == FLOWERS:
            own["dataset"] = recipe.flowers
        if "steps" in own or "epochs" in own:  # one budget takes the other's place
            own = {"steps": None, "epochs": None, **own}
        about = RecipeContext(
            table=self.table,
            dataset=str(own["dataset"]),
            **{
                name: own[path]  # type: ignore[arg-type]  # FineTuneConfig checks what they are
                for name, path in _ABOUT.items()
                if path in own
            },
        )
        blank = FineTuneConfig(dataset=about.dataset, resolution=224, steps=1)
        return blank.with_values({**recipe.values(about), **own})


_ABOUT = {
    "data_fraction": "data_fraction",
    "model": "model.name",
    "optimizer": "optimizer.name",
    "schedule": "schedule.name",
}
"""Where the config says what a recipe wants to know."""


def _shown(labels: Mapping[str, Value], flat: Mapping[str, Value]) -> dict[str, Value]:
    """Axis values as the config has them in the end, which recipe and scale may have changed; levels by their name."""
    return {name: flat.get(name, label) for name, label in labels.items()}


def _points(axes: Mapping[str, Axis]) -> Iterator[tuple[dict[str, Value], dict[str, object]]]:
    """The crossing of the axes: a label per axis, and the config fields those labels set."""
    for combination in itertools.product(*(_levels(name, axis) for name, axis in axes.items())):
        labels = {name: label for name, (label, _) in zip(axes, combination, strict=True)}
        values: dict[str, object] = {}
        for _, fields in combination:
            values.update(fields)
        yield labels, values


def _levels(name: str, axis: Axis) -> list[tuple[Value, Mapping[str, object]]]:
    if isinstance(axis, Mapping):
        return list(axis.items())
    return [(value, {name: value}) for value in axis]


def _check_known(what: str, name: str, table: Mapping[str, object]) -> None:
    if name not in table:
        raise InputError(f"{what} = {name!r}: known are {', '.join(table)}")


def _first_repeated(values: Sequence[Value]) -> Value:
    return next((value for value in values if values.count(value) > 1), None)


def _check_effects(candidates: list[Candidate]) -> None:
    """Raise InputError where two points train the same, though their configs differ: a factor without effect.

    The budget may differ: two budgets that come to the same number of steps are one trial, which is trained once.
    """
    first: dict[FineTuneConfig, Candidate] = {}
    for each in candidates:
        twin = first.setdefault(without_inactive(each.config), each)
        if twin.config != each.config:
            ours, theirs = each.config.flat(), twin.config.flat()
            differing = [f"{path} {theirs[path]} and {ours[path]}" for path in ours if ours[path] != theirs[path]]
            where = ", ".join(f"{axis} {value}" for axis, value in each.point.items())
            raise InputError(f"{', '.join(differing)} would train the same at {where}: leave one out with `keep`")


def _check_axes(scientific: Mapping[str, Axis], nuisance: Mapping[str, Axis]) -> None:
    for role, each in (("scientific", scientific), ("nuisance", nuisance)):
        if not isinstance(each, Mapping) or not all(isinstance(name, str) for name in each):
            raise InputError(f"{role} = {short_repr(each)}: must be a dict of axes by their names")
    if not scientific:
        raise InputError("it has no scientific axis: nothing to compare")
    if scientific.keys() & nuisance.keys():
        raise InputError("an axis is both scientific and nuisance")
    axes = {**scientific, **nuisance}
    for name in sorted(axes.keys() & TABLE_COLUMNS):
        raise InputError(f"axis {name}: tables have a column of that name; name it differently")
    owner: dict[str, str] = {}
    for name, axis in axes.items():
        require_one_line("axis", name)
        if not isinstance(axis, Mapping | tuple):
            raise InputError(f"axis {name} = {short_repr(axis)}: must be a tuple of values, or a dict of named levels")
        if isinstance(axis, Mapping):
            for label, fields in axis.items():
                if not isinstance(label, str) or not isinstance(fields, Mapping):
                    raise InputError(
                        f"axis {name}, level {short_repr(label)} = {short_repr(fields)}: must be a dict of fields"
                    )
        levels = _levels(name, axis)
        labels = [label for label, _ in levels]
        if not labels:
            raise InputError(f"axis {name} has no values")
        for text in [label for label in labels if isinstance(label, str)]:
            require_one_line(f"axis {name}, label", text)
        for twice in (_first_repeated([str(label) for label in labels]), _first_repeated(labels)):  # 1 and 1.0, too
            if twice is not None:
                raise InputError(f"axis {name} has {twice} twice")
        for path in {path for _, fields in levels for path in fields}:
            if path == "seed":
                raise InputError(f"axis {name} sets seed: seeds are given apart, as `seeds`")
            if path in owner:
                raise InputError(f"axes {owner[path]} and {name} both set {path}")
            owner[path] = name
