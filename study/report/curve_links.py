"""Links from the cells of a study to the curves of their runs in MLflow's UI."""

from collections import defaultdict

from study.labels import cell_label
from study.layout import UI_HOST, UI_PORT
from study.ledger.ledger import Ledger
from study.plan import Plan


def curve_links(plan: Plan, ledger: Ledger) -> dict[str, str]:
    """Return the address of the curves of each cell that has runs, by the cell's label."""
    runs = defaultdict(list)
    for trial in plan.trials:
        if trial.record is not None:
            runs[cell_label(trial)].append(trial.record.run_id)
    metric, address = plan.space.metric, ui_address(ledger)
    return {cell: address + ledger.curves_path(run_ids, metric) for cell, run_ids in runs.items()}


def ui_address(ledger: Ledger) -> str:
    """Return the address of MLflow's UI: of a store folder, the default of `ui`, as a file cannot know another."""
    return ledger.server or f"http://{UI_HOST}:{UI_PORT}"
