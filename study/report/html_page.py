"""The HTML page of a report: one file that opens without network."""

from collections.abc import Mapping, Sequence

import jinja2
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from search_spaces.framework.published import AUTHORS, TITLE, URL
from study.analysis.anova import anova
from study.analysis.claim_tests import ASSUMED_SEED_SD
from study.analysis.intervals import INTERVALS_NOTE
from study.analysis.verdicts import ClaimVerdict
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.caveats import plan_caveats
from study.report.claim_list import format_effect, format_p, format_test
from study.report.figures import MIN_GRID_AXES
from study.report.finished_study import finished_table
from study.report.study_setup import describe_setup
from study.report.table_markup import flat_to_html, to_html


def load_template(name: str) -> jinja2.Template:
    """Return a template of this folder; it escapes every value."""
    loader = jinja2.PackageLoader("study.report", "")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(name)


def render_page(
    plan: Plan, table: pd.DataFrame, verdicts: Sequence[ClaimVerdict], figures: Mapping[str, go.Figure], command: str
) -> str:
    """Return the page.

    Args:
        table: `paper_table` of the plan.
        figures: by the name that a link to them has.
    """
    states = [trial.state for trial in plan.trials]
    return load_template("report.html.j2").render(
        name=plan.space.name,
        question=plan.space.question,
        table=plan.space.table,
        num_trials=len(states),
        num_finished=states.count(TrialState.FINISHED),
        num_diverged=states.count(TrialState.DIVERGED),
        caveats=plan_caveats(plan),
        results=to_html(table, "results"),
        intervals=INTERVALS_NOTE,
        is_compared=plan.space.scale == "paper" and plan.space.table is not None,
        paper={"title": TITLE, "authors": AUTHORS, "url": URL},
        claims=verdicts,
        format_effect=format_effect,
        format_p=format_p,
        format_test=format_test,
        assumed_sd=f"{100 * ASSUMED_SEED_SD:g}",
        anova=_render_anova(plan),
        figures=figures,
        plotly=get_plotlyjs(),
        setup=describe_setup(plan),
        is_complete=not plan.to_run,
        command=command,
    )


def _render_anova(plan: Plan) -> str:
    """Return the ANOVA table of a crossed grid; empty where there is none."""
    axes = list(plan.space.scientific)
    finished = finished_table(plan)
    table = anova(finished, axes) if len(axes) >= MIN_GRID_AXES and len(finished) else pd.DataFrame()
    if table.empty:
        return ""
    shown = pd.DataFrame(
        {
            "factor": table["term"],
            "partial ω²": [f"{row.effect:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in table.itertuples()],
            "F (df)": [f"{row.F:.1f} ({row.df:.0f})" for row in table.itertuples()],
            "p": [format_p(p) for p in table["p"].astype(float)],
        }
    )
    return flat_to_html(shown, "anova")
