"""A search space: a base config, the axes a study compares, the seeds; compiled to configs.

SPACE = SearchSpace(
    name="resolution",
    question="Does fine-tuning above the pre-training resolution help?",
    base=FineTuneConfig(dataset="digits", steps=100),
    scientific={"resolution": (16, 28, 48)},
)
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from revit.config import FineTuneConfig
from revit.errors import InputError

Value = str | int | float | bool | None
Axis = tuple[Value, ...] | Mapping[str, Mapping[str, object]]
"""Values of the config field that the axis is named after; or named levels, each setting several fields."""


TABLE_COLUMNS = frozenset(
    {"seed", "state", "identity", "run_id", "num_test", "n", "mean", "low", "high", "interval", "missing"}
    | {"chosen_val_accuracy", "test_accuracy", "test_loss", "train_s"}
)
"""Columns of result tables, beside which axes stand: no axis may bear such a name."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One trial that a space asks for.

    Attributes:
        cell: its value on each scientific axis; a number in a table.
        nuisance: its value on each nuisance axis.
        config: what it trains, seed included.
    """

    cell: Mapping[str, Value]
    nuisance: Mapping[str, Value]
    config: FineTuneConfig

    @property
    def point(self) -> Mapping[str, Value]:
        """Its value on every axis, the scientific ones first."""
        return {**self.cell, **self.nuisance}


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What a study asks. Checked whole when it is built: no bad value waits for a GPU to be found.

    Attributes:
        name: of the study; its module's name.
        question: one sentence, shown wherever the study is.
        base: the fixed hyperparameters.
        scientific: the axes whose values the study compares.
        nuisance: the axes tuned inside each cell, on validation accuracy averaged over seeds.
        keep: a named predicate over the typed config; points it refuses are not run.
        seeds: every cell is trained with each of them.

    Raises:
        InputError: an unknown axis, an impossible value, a value twice, or nothing left to run.
    """

    name: str
    question: str
    base: FineTuneConfig
    scientific: Mapping[str, Axis]
    nuisance: Mapping[str, Axis] = field(default_factory=dict)
    keep: Callable[[FineTuneConfig], bool] | None = None
    seeds: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        try:
            _check_axes(self.scientific, self.nuisance)
            if self.nuisance and self.base.val_fraction == 0:
                raise InputError("nuisance axes are tuned on validation images, and val_fraction is 0")
            if len(set(self.seeds)) < len(self.seeds):
                raise InputError(f"seeds = {self.seeds}: must differ")
            if not self.candidates(self.seeds):
                raise InputError("it asks for no trial: no seeds, or `keep` refuses every point")
        except InputError as error:
            raise InputError(f"search space {self.name}: {error}") from error

    def candidates(self, seeds: tuple[int, ...]) -> list[Candidate]:
        """Every trial the space asks for, all cells of a seed before the next seed."""
        cells = list(_points(self.scientific))
        tuned = list(_points(self.nuisance))
        asked = [
            Candidate(
                cell=cell,
                nuisance=nuisance,
                config=self.base.with_values({**cell_values, **nuisance_values, "seed": seed}),
            )
            for seed in seeds
            for cell, cell_values in cells
            for nuisance, nuisance_values in tuned
        ]
        return [each for each in asked if self.keep is None or self.keep(each.config)]


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


def _check_axes(scientific: Mapping[str, Axis], nuisance: Mapping[str, Axis]) -> None:
    if not scientific:
        raise InputError("it has no scientific axis: nothing to compare")
    if scientific.keys() & nuisance.keys():
        raise InputError("an axis is both scientific and nuisance")
    axes = {**scientific, **nuisance}
    for name in sorted(axes.keys() & TABLE_COLUMNS):
        raise InputError(f"axis {name}: tables have a column of that name; call it otherwise")
    owner: dict[str, str] = {}
    for name, axis in axes.items():
        if not isinstance(axis, Mapping | tuple):
            raise InputError(f"axis {name} = {axis!r}: must be a tuple of values, or a dict of named levels")
        levels = _levels(name, axis)
        labels = [label for label, _ in levels]
        if not labels:
            raise InputError(f"axis {name} has no values")
        twice = {str(label) for label in labels if labels.count(label) > 1}
        if twice:
            raise InputError(f"axis {name} has {', '.join(sorted(twice))} twice")
        for path in {path for _, fields in levels for path in fields}:
            if path == "seed":
                raise InputError(f"axis {name} sets seed: seeds are given apart, as `seeds`")
            if path in owner:
                raise InputError(f"axes {owner[path]} and {name} both set {path}")
            owner[path] = name
