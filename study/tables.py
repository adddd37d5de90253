"""The table of cells that a study ends with."""

import math

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


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def _interval(cell: dict[str, float]) -> str:
    if cell["n"] == 0:
        return "-"
    kind = " (Wilson)" if cell["n"] == 1 else ""
    return f"{_percent(cell['low'])} to {_percent(cell['high'])}{kind}"
