"""The tables that a terminal shows: the trials of a plan, the cells that a study ends with."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

from rich.table import Table

from study.plan import Plan
from study.results import cell_table


def terminal_table(plan: Plan) -> Table:
    """Cells as rows: axes, mean test accuracy in percent, its 95 % interval, n seeds, what is missing."""
    cells = cell_table(plan)
    axes = [*plan.space.scientific, *plan.space.nuisance]
    table = Table(title=f"{plan.space.name}: test accuracy, %", title_justify="left")
    for axis in axes:
        table.add_column(axis)
    for heading in ("mean", "95 % interval", "seeds"):
        table.add_column(heading, justify="right")
    table.add_column("missing")
    for cell in cells.to_dict("records"):
        labels = [str(cell[axis]) for axis in axes]
        table.add_row(*labels, _percent(cell["mean"]), _interval(cell), str(cell["n"]), cell["missing"])
    return table


def plan_table(plan: Plan) -> Table:
    """Trials as rows: state, axes, seed, steps, identity, run."""
    axes = [*plan.space.scientific, *plan.space.nuisance]
    table = Table(title=f"{plan.space.name}: {plan.space.question}", title_justify="left")
    for heading in ("state", *axes, "seed", "steps", "identity", "run"):
        table.add_column(heading, overflow="fold")
    for trial in plan.trials:
        labels = trial.candidate.point
        numbers = (trial.candidate.config.seed, trial.num_steps)
        run = "" if trial.known is None else trial.known.run_id
        table.add_row(trial.state, *map(str, (*labels.values(), *numbers)), trial.identity, run)
    return table


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def _interval(cell: Mapping[Hashable, Any]) -> str:
    if cell["n"] == 0:
        return "-"
    kind = " (Wilson)" if cell["n"] == 1 else ""
    return f"{_percent(cell['low'])} to {_percent(cell['high'])}{kind}"
