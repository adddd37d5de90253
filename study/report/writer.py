"""Files of reports: a page, tables for a paper, the numbers, the figures, an index of all reports."""

import json
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from rich.filesize import decimal

from revit.identity import TRAINING_VERSION
from revit.paths import check_writable
from revit.training.metrics import METRICS
from study.analysis.anova import anova
from study.analysis.claim_tests import ASSUMED_SEED_SD
from study.analysis.intervals import intervals_note
from study.analysis.results import cell_table, trial_table
from study.analysis.verdicts import ClaimVerdict
from study.layout import REPORT_FOLDER
from study.ledger.ledger import Ledger
from study.ledger.schema import ACTUAL_PREFIX, ENVIRONMENT_TAGS, ESTIMATE_PREFIX, PEAK_BYTES, WALL_S
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.caveats import plan_caveats
from study.report.claim_list import format_claim, format_effect, format_p, format_test, to_records
from study.report.claim_list import to_markdown as claims_to_markdown
from study.report.curve_links import curve_links, ui_address
from study.report.figures import MIN_GRID_AXES, draw_figures
from study.report.finished_study import finished_table
from study.report.forecast_tables import format_seconds
from study.report.paper_tables import paper_table
from study.report.plots.style import capitalize
from study.report.report_folder import REPORT, TRIALS, check_loses_nothing
from study.report.searches import describe_search, front_table, search_table
from study.report.table_markup import escape_markdown, flat_to_html, to_html, to_latex, to_markdown

INDEX = "index.html"
PAIRING = {
    "accuracy": "; where all were tested on\nthe same images, they are compared image by image.",
    "bootstrap": "; the same test images\nare resampled in all trials of a dataset (bootstrap).",
    "": ".",
}
"""Comparison of trials in claims, by the source of the interval over images."""
MAX_NAME_CHARS = 100
"""Characters of a figure's file name."""


def write_report(
    plan: Plan, ledger: Ledger, folder: Path, command: str, verdicts: Sequence[ClaimVerdict]
) -> list[Path]:
    """Write report.html, report.json, tables.md, tables.tex, cells.csv, trials.parquet, figures/; return their paths.

    figures/ holds each figure of the page as plotly's JSON, which `plotly.io.read_json` opens. If the study was
    launched with its recipe and at its scale, all files are also artifacts of the latest such launch, in `report/`;
    not those of some of its cells.

    Args:
        folder: folder of this study's report (`folder_name`).

    Raises:
        InputError: the folder cannot be written.
        ReportKeptError: the report in the folder has results that this one lacks.
    """
    check_writable(folder, "reports")
    check_loses_nothing(plan, folder)
    table, figures = paper_table(plan), name_figures(draw_figures(plan, ledger))
    context = _context(plan, table, verdicts, figures, command)
    context |= {"curves": curve_links(plan, ledger), "server": ledger.server, "ui": ui_address(ledger)}
    context["setup"] |= describe_forecast(ledger.launches.forecast_values(plan.space.tags))
    setup = "; ".join(f"{name}: {value}" for name, value in context["setup"].items())
    texts = {
        "report.html": _load_template("report.html.j2").render(context),
        REPORT: json.dumps(_summarize(plan, verdicts), indent=1) + "\n",
        "tables.md": _load_template("tables.md.j2").render(context),
        "tables.tex": to_latex(table, context["title"], [*context["notes"], setup], command),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    cell_table(plan).assign(metric=plan.space.metric).to_csv(folder / "cells.csv", index=False)
    trial_table(plan).to_parquet(folder / TRIALS, index=False)
    paths = [folder / name for name in (*texts, "cells.csv", TRIALS)]
    drawn = _write_figures(figures, folder / "figures")
    if not plan.space.cells:
        ledger.launches.attach(plan.space.tags, paths, REPORT_FOLDER)
        ledger.launches.attach(plan.space.tags, drawn, f"{REPORT_FOLDER}/figures")
    return [*paths, folder / "figures"]


def _context(
    plan: Plan, table: pd.DataFrame, verdicts: Sequence[ClaimVerdict], figures: Mapping[str, go.Figure], command: str
) -> dict[str, Any]:
    """Return what the templates show."""
    space, caveats, metric = plan.space, plan_caveats(plan), METRICS[plan.space.metric]
    return {
        **_summarize(plan, verdicts),
        "title": f"{space.name}: {space.question}",
        "num_diverged": [trial.state for trial in plan.trials].count(TrialState.DIVERGED),
        "caveats": caveats,
        "notes": [intervals_note(metric), *caveats],
        "results": to_html(table, "results"),
        "markdown": to_markdown(table),
        "intervals": intervals_note(metric),
        "heading": capitalize(metric.heading),
        "is_compared": space.scale == "paper" and space.paper is not None and space.metric == "accuracy",
        "is_published": space.paper is not None and space.metric == "accuracy",
        "measure": metric,
        "paper": space.reproduced,
        "verdicts": verdicts,
        "markdown_claims": claims_to_markdown(verdicts, metric),
        "format_claim": format_claim,
        "format_effect": format_effect,
        "format_p": format_p,
        "format_test": format_test,
        "escape_markdown": escape_markdown,
        "assumed_sd": f"{100 * ASSUMED_SEED_SD:g}",
        "anova": _render_anova(plan),
        **_search_context(plan),
        "figures": figures,
        "plotly": get_plotlyjs(),
        "setup": describe_setup(plan),
        "unit": "percentage points (pp)" if metric.difference_unit == "pp" else metric.difference_unit,
        "pairing": PAIRING["accuracy" if space.metric == "accuracy" else "bootstrap" if metric.of_predictions else ""],
        "is_complete": plan.is_complete,
        "command": command,
    }


def _search_context(plan: Plan) -> dict[str, Any]:
    """Return what the templates show of searches; empty tables where there are none."""
    table, front = search_table(plan), front_table(plan)
    if table.empty:
        return {"searches": "", "front": "", "search_sentences": []}
    return {
        "searches": flat_to_html(table, "search"),
        "front": "" if front.empty else flat_to_html(front, "front"),
        "search_sentences": describe_search(plan),
    }


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
    states, metric = [trial.state for trial in plan.trials], METRICS[plan.space.metric]
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


def _load_template(name: str) -> jinja2.Template:
    """Return a template of this folder; of a page, it escapes every value."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("study.report", ""),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def _render_anova(plan: Plan) -> str:
    """Return the ANOVA table of a crossed grid; empty where there is none."""
    axes = list(plan.space.scientific)
    finished = finished_table(plan)
    table = anova(finished, axes, plan.space.metric) if len(axes) >= MIN_GRID_AXES and len(finished) else pd.DataFrame()
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


def describe_setup(plan: Plan) -> dict[str, str]:
    """Return recipe, scale, seeds, steps, environment and versions of a study, by name."""
    space = plan.space
    records = [trial.record for trial in plan.trials if trial.record is not None and trial.state == TrialState.FINISHED]
    steps = sorted({trial.num_steps for trial in plan.trials})
    recipe = {} if space.base is not None else {"recipe": space.recipe, "scale": space.scale}
    environment = {
        name: ", ".join(sorted({record.environment[name] for record in records if name in record.environment})) or "-"
        for name in ENVIRONMENT_TAGS
    }
    return {
        **recipe,
        "seeds": ", ".join(map(str, sorted({trial.candidate.config.seed for trial in plan.trials}))),
        "steps": str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}",
        **environment,
        "test images": ", ".join(sorted({f"{trial.num_test:,}" for trial in plan.trials})),
        "training-code version": str(TRAINING_VERSION),
        "written with": f"Python {platform.python_version()}, timm {version('timm')}",
    }


def describe_forecast(values: Mapping[str, str]) -> dict[str, str]:
    """Return what the last launch took beside its estimate, by name; empty where there was none.

    Args:
        values: tags of the launch (`schema.FORECAST_VALUES`).
    """
    shown: dict[str, tuple[str, Callable[[int], str]]] = {
        WALL_S: ("time of the last launch", format_seconds),
        PEAK_BYTES: ("its peak memory", decimal),
    }
    lines = {}
    for name, (title, form) in shown.items():
        estimate, actual = (values.get(f"{prefix}{name}") for prefix in (ESTIMATE_PREFIX, ACTUAL_PREFIX))
        if estimate and actual:
            lines[title] = f"{form(round(float(actual)))}, estimated {form(round(float(estimate)))}"
    return lines


def write_index(reports: Path) -> Path:
    """Write the page that lists every report in a folder with its verdicts; return its path."""
    found = {path.parent.name: summary for path in sorted(reports.glob(f"*/{REPORT}")) if (summary := _read(path))}
    index = reports / INDEX
    index.write_text(_load_template("index.html.j2").render(reports=found), encoding="utf-8")
    return index


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # a broken file is not listed
        return None
