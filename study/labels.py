"""Labels of cells, trials or values for people: `optimizer=sgd lr=0.1 seed=0`."""

import math
from collections.abc import Mapping

from search_spaces.framework.claim_cells import short_names
from study.trial import Trial


def format_value(value: object) -> str:
    """Return a value as it is shown everywhere: a float as short as six digits allow (`0.1`, `1`, `1e-05`, `1e+12`).

    Rounding errors of arithmetic are not shown: `10 * 0.0103` is `0.103`.
    """
    return f"{value:g}" if isinstance(value, float) and math.isclose(float(f"{value:g}"), value) else str(value)


def label(values: Mapping[str, object]) -> str:
    """Return the name of a value on each of several axes: `optimizer=sgd lr=0.1`."""
    names = short_names(list(values))
    return " ".join(f"{name}={format_value(value)}" for name, value in zip(names, values.values(), strict=True))


def cell_label(trial: Trial) -> str:
    """Return the name of a trial's cell."""
    return label(trial.candidate.cell)


def trial_label(trial: Trial) -> str:
    """Return the name of a trial: its value on every axis, its seed, and whether it belongs to a search."""
    name = label({**trial.candidate.point, "seed": trial.candidate.config.seed})
    return name if trial.candidate.config.test else f"{name} (search)"
