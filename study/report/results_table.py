"""The table of results on the page, with what explains it."""

from typing import Any

import pandas as pd

from revit.training.metrics import find_metric
from study.analysis.intervals import intervals_note
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.caveats import plan_caveats
from study.report.curve_links import curve_links, ui_address
from study.report.paper_tables import best_note, seeds_note
from study.report.plots.style import capitalize
from study.report.reference_numbers import other_lines
from study.report.table_markup import to_html, to_markdown


def results_context(plan: Plan, ledger: Ledger, table: pd.DataFrame) -> dict[str, Any]:
    """Return what the templates show of results.

    Args:
        table: of `paper_table`.
    """
    space, caveats, metric = plan.space, plan_caveats(plan), find_metric(plan.space.metric)
    return {
        "caveats": caveats,
        "notes": [*filter(None, [seeds_note(plan), best_note(plan)]), intervals_note(metric), *caveats],
        "num_seeds": seeds_note(plan),
        "best": best_note(plan),
        "results": to_html(table, "results"),
        "markdown": to_markdown(table),
        "intervals": intervals_note(metric),
        "heading": capitalize(metric.heading),
        "is_compared": space.scale == "paper" and space.paper is not None and space.metric == "accuracy",
        "other_numbers": other_lines(space),
        "curves": curve_links(plan, ledger),
        "server": ledger.server,
        "ui": ui_address(ledger),
    }
