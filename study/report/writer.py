"""Files of reports: a page, tables for a paper, the numbers, the figures, an index of all reports."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import plotly.graph_objects as go

from revit.paths import check_writable
from revit.training.metrics import find_metric
from study.analysis.effects import StudyEffects
from study.analysis.results import cell_table, reported_trials
from study.analysis.verdicts import ClaimVerdict
from study.layout import REPORT_FOLDER
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import Plan
from study.registration.deviations import RegistrationReport
from study.registration.disagreements import report_files
from study.registration.history import History
from study.registration.plan_comparison import compare_plan
from study.report.anova_table import anova_context
from study.report.answer import answer_context, make_answer
from study.report.answer import to_records as effects_to_records
from study.report.axis_words import value_title
from study.report.claim_list import claims_context, to_records
from study.report.figure_files import figures_context, name_figures, write_figures
from study.report.figures import draw_figures
from study.report.finished_study import FinishedStudy
from study.report.methods_section import methods_context
from study.report.paper_tables import paper_table
from study.report.registration_section import deviations_context, registration_record, write_registration
from study.report.report_folder import CLAIMS, REPORT, TRIALS, check_loses_nothing
from study.report.results_table import results_context
from study.report.searches import search_context
from study.report.setup_list import setup_context
from study.report.table_markup import escape_markdown, to_latex

INDEX = "index.html"
NUM_OPEN_CAVEATS = 2
"""Caveats that the page shows unfolded: results and claims stand on the first two screens."""


def write_report(
    plan: Plan,
    ledger: Ledger,
    folder: Path,
    command: str,
    verdicts: Sequence[ClaimVerdict],
    effects: StudyEffects,
    history: History,
) -> list[Path]:
    """Write the files of a report; return their paths, those of figures as one folder.

    They are report.html, report.json, claims.json, tables.md, tables.tex, cells.csv, trials.parquet, figures/.
    claims.json has every verdict and every effect with its interval, p value and runs, for scripts.
    registration/ holds what the newest launch registered, and the ledger of all records (`study.registration`).
    figures/ holds each figure of the page as plotly's JSON, which `plotly.io.read_json` opens. If the study was
    launched with its recipe and at its scale, all files are also artifacts of the latest such launch, in `report/`;
    not those of some of its cells, or about another metric.

    Args:
        folder: folder of this study's report (`folder_name`).
        history: what its launches have registered (`plan_comparison.plan_history`).

    Raises:
        InputError: the folder cannot be written.
        ReportKeptError: the report in the folder has results that this one lacks.
    """
    check_writable(folder, "reports")
    check_loses_nothing(plan, folder)
    study = FinishedStudy(plan, ledger, reported_trials(plan), verdicts, effects)
    table, figures = paper_table(plan), name_figures(draw_figures(study))
    answer = make_answer(plan, effects)
    registration = compare_plan(plan, history)
    context = {**_context(study, table, registration, figures, command), **answer_context(answer)}
    summary = {**_summarize(plan, verdicts), "answer": answer._asdict()}
    summary |= {"registration": registration_record(registration)}
    setup = "; ".join(f"{name}: {value}" for name, value in context["setup"].items())
    texts = {
        "report.html": load_template("report.html.j2").render(context),
        REPORT: json.dumps({**summary, "methods": context["methods_json"]}, indent=1) + "\n",
        CLAIMS: json.dumps({**summary, **effects_to_records(effects)}, indent=1) + "\n",
        "tables.md": load_template("tables.md.j2").render(context),
        "tables.tex": to_latex(table, context["title"], [*context["notes"], setup], command) + context["latex"],
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    further = [cell_table(each).assign(metric=each.space.metric) for each in plan.further]
    cells = [study.cells.assign(metric=plan.space.metric), *further]
    pd.concat(cells).to_csv(folder / "cells.csv", index=False)
    study.table.to_parquet(folder / TRIALS, index=False)
    paths = [folder / name for name in (*texts, "cells.csv", TRIALS)]
    drawn = write_figures(figures, folder / "figures")
    if not (plan.space.cells or plan.space.is_reread):
        ledger.launches.attach(plan.space.tags, paths, REPORT_FOLDER)
        ledger.launches.attach(plan.space.tags, drawn, f"{REPORT_FOLDER}/figures")
    return [*paths, folder / "figures", *write_registration(report_files(history), folder)]


def _context(
    study: FinishedStudy,
    table: pd.DataFrame,
    registration: RegistrationReport,
    figures: Mapping[str, go.Figure],
    command: str,
) -> dict[str, Any]:
    """Return what the templates show: a dict from the module of each part of the page."""
    plan, ledger, verdicts = study.plan, study.ledger, study.verdicts
    return {
        **_summarize(plan, verdicts),
        **_opening_context(plan),
        **results_context(plan, ledger, table),
        **claims_context(plan.space, verdicts),
        **deviations_context(registration),
        **anova_context(study),
        **search_context(plan),
        **figures_context(figures),
        **methods_context(plan, ledger, verdicts),
        **setup_context(plan, ledger, command),
    }


def _opening_context(plan: Plan) -> dict[str, Any]:
    """Return what the templates show of the study as a whole."""
    return {
        "title": f"{plan.space.name}: {plan.space.question}",
        "num_diverged": [trial.state for trial in plan.trials].count(TrialState.DIVERGED),
        "paper": plan.space.reproduced,
        "numbered_table": re.search(r"\d", plan.space.table or "") and plan.space.table,  # else a name of ours
        "datasets": ", ".join(dict.fromkeys(value_title(trial.candidate.config.dataset) for trial in plan.trials)),
        "NUM_OPEN_CAVEATS": NUM_OPEN_CAVEATS,
        "headings": page_headings,
        "escape_markdown": escape_markdown,
    }


def page_headings(page: str) -> list[tuple[str, str]]:
    """Return id and text of each section's heading, for the table of contents."""
    return re.findall(r'<h2 id="([\w-]+)">(.*?)</h2>', page)


def _summarize(plan: Plan, verdicts: Sequence[ClaimVerdict]) -> dict[str, Any]:
    states, metric = [trial.state for trial in plan.trials], find_metric(plan.space.metric)
    return {
        **plan.space.tags,
        "question": plan.space.question,
        "paper": None if plan.space.reproduced is None else plan.space.reproduced.title,
        "table": plan.space.table,
        "num_trials": len(states),
        "num_finished": states.count(TrialState.FINISHED),
        "metric": {"name": plan.space.metric, "unit": metric.unit, "direction": metric.direction},
        "claims": to_records(verdicts, metric),
    }


def load_template(name: str) -> jinja2.Template:
    """Return a template of this folder; of a page, it escapes every value."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("study.report", ""),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def write_index(reports: Path) -> Path:
    """Write the page that lists every report in a folder with its verdicts; return its path."""
    found = {path.parent.name: summary for path in sorted(reports.glob(f"*/{REPORT}")) if (summary := _read(path))}
    index = reports / INDEX
    index.write_text(load_template("index.html.j2").render(reports=found), encoding="utf-8")
    return index


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a broken file is not listed
        return None
