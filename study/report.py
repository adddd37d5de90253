"""What a study leaves on disk for others to read."""

from pathlib import Path

from revit.folders import check_writable
from study.plan import Plan
from study.results import cell_table, trial_table


def write_report(plan: Plan, folder: Path) -> list[Path]:
    """Write `cells.csv` and `trials.parquet`; returns their paths."""
    check_writable(folder, "--reports")
    cells, trials = folder / "cells.csv", folder / "trials.parquet"
    cell_table(plan).to_csv(cells, index=False)
    trial_table(plan).to_parquet(trials, index=False)
    return [cells, trials]
