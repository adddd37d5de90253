"""Candidates: the trials that a search space asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from revit.active_fields import effective_values
from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.cells import Point, StudyCell
from search_spaces.framework.claim_cells import Value

SEARCHED: Mapping[str, object] = {"test": False, "test_curve": False, "test_sets": ()}
"""Config values of a search trial, which reads no test images."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One trial of a search space.

    Attributes:
        cell: value on each scientific axis, as trained; a number in a table.
        nuisance: value on each nuisance axis that exists at its point, as trained.
        requested_values: value on each scientific axis, as the study and its claims name it. Recipe and scale may
            train another: `flowers` is trained as `flowers102`, 384 px as 48 px.
        config: config to train, seed included.
    """

    cell: Mapping[str, Value]
    nuisance: Mapping[str, Value]
    requested_values: Mapping[str, Value]
    config: FineTuneConfig

    @property
    def point(self) -> Mapping[str, Value]:
        """Value on every axis that exists, as trained, the scientific ones first."""
        return {**self.cell, **self.nuisance}


def make_candidate(cell: StudyCell, point: Point, config: FineTuneConfig) -> Candidate:
    """Return the candidate of a point of a cell that is trained by a config."""
    flat = config.flat()
    return Candidate(
        cell=_effective_labels(cell.values, flat),
        nuisance=_effective_labels(point, flat),
        requested_values=cell.values,
        config=config,
    )


def _effective_labels(labels: Mapping[str, Value], flat: Mapping[str, Value]) -> dict[str, Value]:
    """Return axis values as the config has them, after recipe and scale; named levels keep their names."""
    return {name: flat.get(name, label) for name, label in labels.items()}


def check_effects(candidates: Sequence[Candidate]) -> None:
    """Raise InputError where two points train the same, though their configs differ: a factor without effect.

    The budget may differ: two budgets that compile to the same number of steps are one trial, trained once.
    """
    by_effect: dict[str, Candidate] = {}
    for each in candidates:
        effect = str(effective_values(each.config, each.config.num_evals))
        first = by_effect.setdefault(effect, each)
        if first.config != each.config:
            old, new = first.config.flat(), each.config.flat()
            differing = [path for path in old if old[path] != new[path]]
            values = ", ".join(f"{path} {old[path]} and {new[path]}" for path in differing)
            point = ", ".join(f"{axis} {value}" for axis, value in each.point.items())
            advice = ", or give its Range a `when`" if each.nuisance.keys() & differing else ""
            raise InputError(f"{values} would train the same at {point}: leave one out by `constraint`{advice}")
