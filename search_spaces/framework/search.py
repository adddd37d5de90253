"""Search: the way in which nuisance axes are tuned in each cell of a study."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from revit.errors import InputError
from revit.validation import check_types, require, with_tuples
from search_spaces.framework.claim_cells import Value

Sampler = Literal["grid", "quasi_random", "random", "tpe", "gp"]
Pruner = Literal["successive_halving", "median", "wilcoxon"]

DEFAULT_NUM_TRIALS = 16
"""Points per cell, where neither the study nor a grid says how many."""
MIN_COMPARED_SEEDS = 5
"""Seeds of a point from which on `wilcoxon` can leave the last one out: four pairs are the fewest with p < .1."""
PACKAGES: Mapping[str, str] = {"gp": "torch"}
"""Package that a sampler needs beside Optuna."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Search of every cell: its points, their budget, when a point is given up.

    Each cell has the same budget. Its points are compared on validation images, and never see the test split.

    Attributes:
        sampler: how points are chosen. `grid`: all combinations of the values; `quasi_random`: evenly spread (Sobol),
            the same in every cell; `random`; `tpe`, `gp`: near what has been good (Optuna's TPESampler, GPSampler).
            None for `grid` where every axis has values, else `quasi_random`.
        num_trials: points per cell; None for all of a grid, else DEFAULT_NUM_TRIALS.
        enqueue: points to begin with, as values by axis; axes without one are sampled.
        pruner: when a point is given up, by its validation curve in comparison with others of its cell. Optuna's
            `successive_halving` or `median`; or its `wilcoxon`, which compares seeds: later ones are left out.
            None: every point is trained to its end.
        seeds: each point is trained with each of them; its value is the mean.
        objectives: metrics to optimize: the study's metric first, a second one for a Pareto front. A metric of
            predictions is that of the validation images. Empty for the study's metric.
        time_budget_s: seconds of training per cell; once its trials have used them, no further point begins.

    Raises:
        InputError: an invalid value, a pruner that does not fit the seeds, or a package that is not installed.
    """

    sampler: Sampler | None = None
    num_trials: int | None = None
    enqueue: tuple[Mapping[str, Value], ...] = ()
    pruner: Pruner | None = None
    seeds: tuple[int, ...] = (0,)
    objectives: tuple[str, ...] = ()
    time_budget_s: float | None = None

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            object.__setattr__(self, name, with_tuples(value))  # lists are allowed, too
        check_types(self)
        for name in ("num_trials", "time_budget_s"):
            value = getattr(self, name)
            require(value is None or value > 0, name, value, "above 0")
        is_right = bool(self.seeds) and len(set(self.seeds)) == len(self.seeds)
        require(is_right, "seeds", self.seeds, "different, and at least one")
        if self.pruner == "wilcoxon":
            right = f"successive_halving or median: it compares {MIN_COMPARED_SEEDS} seeds or more"
            require(len(self.seeds) >= MIN_COMPARED_SEEDS, "pruner", self.pruner, right)
        elif self.pruner is not None:
            require(len(self.seeds) == 1, "pruner", self.pruner, "wilcoxon, where a point has several seeds")
        right = f"None, as it compares one objective, and there are {len(self.objectives)}"
        require(self.pruner is None or len(self.objectives) < 2, "pruner", self.pruner, right)
        package = PACKAGES.get(self.sampler or "")
        if package is not None and importlib.util.find_spec(package) is None:
            raise InputError(f"sampler = {self.sampler!r}: needs the package {package}, which is not installed")

    @property
    def prunes_curves(self) -> bool:
        """True if its pruner compares the validations of points while they train."""
        return self.pruner in ("successive_halving", "median")
