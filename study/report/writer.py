"""Files of a study's report: a page, tables for a paper, the numbers, the figures."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from revit.paths import check_writable
from search_spaces.framework.published import AUTHORS, TITLE, URL
from study.analysis.intervals import INTERVALS_NOTE
from study.analysis.results import cell_table, trial_table
from study.analysis.verdicts import ClaimVerdict
from study.layout import REPORT_FOLDER
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.caveats import plan_caveats
from study.report.claim_list import to_markdown as claims_to_markdown
from study.report.claim_list import to_records
from study.report.figures import draw_figures
from study.report.html_page import render_page
from study.report.paper_tables import paper_table
from study.report.report_folder import REPORT, TRIALS, check_loses_nothing
from study.report.study_setup import describe_setup
from study.report.table_markup import escape_markdown, to_latex, to_markdown

MAX_NAME_CHARS = 100
"""Characters of a figure's file name."""


def write_report(
    plan: Plan, ledger: Ledger, folder: Path, command: str, verdicts: Sequence[ClaimVerdict]
) -> list[Path]:
    """Write report.html, report.json, tables.md, tables.tex, cells.csv, trials.parquet, figures/; return their paths.

    figures/ holds each figure of the page as plotly's JSON, which `plotly.io.read_json` opens. If the study was
    launched with its recipe and at its scale, all files are also artifacts of the latest such launch, in `report/`.

    Args:
        folder: folder of this study's report (`folder_name`).

    Raises:
        InputError: the folder cannot be written.
        ReportKeptError: the report in the folder has results that this one lacks.
    """
    check_writable(folder, "reports")
    check_loses_nothing(plan, folder)
    table = paper_table(plan)
    title = f"{plan.space.name}: {plan.space.question}"
    figures = name_figures(draw_figures(plan, ledger))
    setup = "; ".join(f"{name}: {value}" for name, value in describe_setup(plan).items())
    footer = _markdown_footer(plan, verdicts, command)
    texts = {
        "report.html": render_page(plan, table, verdicts, figures, command),
        REPORT: json.dumps(_summarize(plan, verdicts), indent=1) + "\n",
        "tables.md": f"# {escape_markdown(title)}\n\n{to_markdown(table)}\n\n{footer}\n",
        "tables.tex": to_latex(table, title, [INTERVALS_NOTE, *plan_caveats(plan), setup], command),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    cell_table(plan).to_csv(folder / "cells.csv", index=False)
    trial_table(plan).to_parquet(folder / TRIALS, index=False)
    paths = [folder / name for name in (*texts, "cells.csv", TRIALS)]
    ledger.launches.attach(plan.space.tags, paths, REPORT_FOLDER)
    ledger.launches.attach(plan.space.tags, _write_figures(figures, folder / "figures"), f"{REPORT_FOLDER}/figures")
    return [*paths, folder / "figures"]


def name_figures(figures: Sequence[go.Figure]) -> dict[str, go.Figure]:
    """Return figures by file name: number and title in a-z, 0-9 and hyphens."""
    titles = [re.sub("[^a-z0-9]+", "-", figure.layout.meta["title"].lower()) for figure in figures]
    names = [f"{number:02}-{title}"[:MAX_NAME_CHARS].strip("-") for number, title in enumerate(titles, start=1)]
    return dict(zip(names, figures, strict=True))


def _write_figures(figures: Mapping[str, go.Figure], folder: Path) -> list[Path]:
    """Write figures as JSON in place of those of an earlier report; return their paths."""
    folder.mkdir(exist_ok=True)
    for earlier in folder.glob("*.json"):
        earlier.unlink()
    for name, figure in figures.items():
        (folder / f"{name}.json").write_text(figure.to_json(), encoding="utf-8")
    return [folder / f"{name}.json" for name in figures]


def _summarize(plan: Plan, verdicts: Sequence[ClaimVerdict]) -> dict[str, Any]:
    states = [trial.state for trial in plan.trials]
    return {
        **plan.space.tags,
        "question": plan.space.question,
        "table": plan.space.table,
        "num_trials": len(states),
        "num_finished": states.count(TrialState.FINISHED),
        "claims": to_records(verdicts),
    }


def _markdown_footer(plan: Plan, verdicts: Sequence[ClaimVerdict], command: str) -> str:
    """Return caveats, verdicts and setup, for below a table."""
    paragraphs = [f"{escape_markdown(line)}\n" for line in (INTERVALS_NOTE, *plan_caveats(plan))]
    if plan.space.table is not None:
        paragraphs.append(f"This is Table {plan.space.table} of the paper: [{TITLE}]({URL}), by {AUTHORS}.\n")
    if verdicts:
        paragraphs.append(f"## Claims\n\n{claims_to_markdown(verdicts)}\n")
    setup = [f"- {name}: {escape_markdown(value)}" for name, value in describe_setup(plan).items()]
    return "\n".join([*paragraphs, "## Setup\n", *setup, f"- command: `{command}`"])
