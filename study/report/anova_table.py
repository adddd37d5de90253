"""The analysis of variance of a crossed grid, as a table."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from study.report.axis_words import axis_titles
from study.report.claim_list import format_p
from study.report.finished_study import FinishedStudy
from study.report.table_markup import flat_to_html


def anova_context(study: FinishedStudy) -> dict[str, Any]:
    """Return what the templates show of the ANOVA; empty where there is none."""
    return {"anova": _render_anova(study.anova, list(study.plan.space.scientific))}


def _render_anova(table: pd.DataFrame, axes: Sequence[str]) -> str:
    """Return the ANOVA table of a crossed grid; empty where there is none."""
    if table.empty:
        return ""
    titles = axis_titles(axes)
    shown = pd.DataFrame(
        {
            "factor": [" x ".join(titles[axis] for axis in term.split(" x ")) for term in table["term"]],
            "partial ω²": [f"{row.effect:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in table.itertuples()],
            "F (df)": [f"{row.F:.1f} ({row.df:.0f})" for row in table.itertuples()],
            "p": [format_p(p) for p in table["p"].astype(float)],
        }
    )
    return flat_to_html(shown, "anova")
