"""What a study leaves for others to read: one page that opens anywhere, tables for a paper, the numbers themselves."""

import itertools
import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from revit.identity import TRAINING_VERSION
from revit.paths import check_writable
from search_spaces.framework.published import AUTHORS, TITLE, URL
from study.analysis.anova import anova
from study.analysis.claim_tests import ASSUMED_SEED_SD
from study.analysis.intervals import INTERVALS_NOTE
from study.analysis.results import cell_table, trial_table
from study.analysis.verdicts import ClaimVerdict
from study.layout import REPORT_FOLDER
from study.ledger.ledger import Ledger
from study.ledger.schema import ENVIRONMENT_TAGS
from study.ledger.states import TrialState
from study.plan import Plan
from study.report.caveats import plan_caveats
from study.report.claim_list import details, effect_text, p_text, to_records
from study.report.claim_list import to_markdown as claims_to_markdown
from study.report.figures import MIN_GRID_AXES, draw_figures
from study.report.finished_study import finished_table
from study.report.paper_tables import for_markdown, paper_table, to_html, to_latex, to_markdown
from study.report.report_folder import REPORT, TRIALS, check_loses_nothing, template
from study.report.spreadsheet import write_csv

MOST_NAME_CHARS = 100
"""Of a figure's file name, however long its cells are called."""


def write_report(plan: Plan, ledger: Ledger, folder: Path, command: str, judged: Sequence[ClaimVerdict]) -> list[Path]:
    """Write report.html, report.json, tables.md, tables.tex, cells.csv, trials.parquet, figures/; return their paths.

    In figures/ is each figure of the page, as plotly's JSON: `plotly.io.read_json` opens it. Where the study was ever
    launched with its recipe and at its scale, all is also kept with the newest such launch, as artifacts in `report/`.

    Args:
        folder: of these reports alone (`folder_name`).
        command: what runs the study, and so fills what is missing.
        judged: the verdicts on its claims.

    Raises:
        InputError: the folder cannot be written.
        ReportKeptError: the report that lies there has results that this one would lack.
    """
    check_writable(folder, "reports")
    check_loses_nothing(plan, folder)
    table = paper_table(plan)
    title = _title(plan)
    shown = by_name(draw_figures(plan, ledger))
    written = {
        "report.html": _page(plan, table, judged, shown, command),
        REPORT: json.dumps(_summary(plan, judged), indent=1) + "\n",
        "tables.md": f"# {for_markdown(title)}\n\n{to_markdown(table)}\n\n{_below(plan, judged, command)}\n",
        "tables.tex": to_latex(table, title, [INTERVALS_NOTE, *plan_caveats(plan), _made(plan)], command),
    }
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    write_csv(cell_table(plan), folder / "cells.csv")
    trial_table(plan).to_parquet(folder / TRIALS, index=False)
    paths = [folder / name for name in (*written, "cells.csv", TRIALS)]
    ledger.attach(plan.space.tags, paths, REPORT_FOLDER)
    ledger.attach(plan.space.tags, _write_figures(shown, folder / "figures"), f"{REPORT_FOLDER}/figures")
    return [*paths, folder / "figures"]


def by_name(drawn: Iterable[go.Figure]) -> dict[str, go.Figure]:
    """Figures, in their order, by the names of their files: their titles in a-z, 0-9 and hyphens, told apart by -2."""
    named: dict[str, go.Figure] = {}
    for figure in drawn:
        title = re.sub("[^a-z0-9]+", "-", figure.layout.meta["title"].lower())[:MOST_NAME_CHARS].strip("-")
        names = itertools.chain([title], (f"{title}-{number}" for number in itertools.count(2)))
        named[next(name for name in names if name not in named)] = figure
    return named


def _write_figures(named: Mapping[str, go.Figure], folder: Path) -> list[Path]:
    """Write each as JSON to a folder of figures alone; those of an earlier report go."""
    folder.mkdir(exist_ok=True)
    for earlier in folder.glob("*.json"):
        earlier.unlink()
    for name, figure in named.items():
        (folder / f"{name}.json").write_text(figure.to_json(), encoding="utf-8")
    return [folder / f"{name}.json" for name in named]


def _summary(plan: Plan, judged: Sequence[ClaimVerdict]) -> dict[str, Any]:
    """Return what the study asked, how far it has come, and its verdicts, as plain values."""
    states = [trial.state for trial in plan.trials]
    return {
        **plan.space.tags,
        "question": plan.space.question,
        "table": plan.space.table,
        "num_trials": len(states),
        "num_finished": states.count(TrialState.FINISHED),
        "claims": to_records(judged),
    }


def _page(
    plan: Plan, table: pd.DataFrame, judged: Sequence[ClaimVerdict], shown: Mapping[str, go.Figure], command: str
) -> str:
    states = [trial.state for trial in plan.trials]
    return template("report.html.j2").render(
        name=plan.space.name,
        question=plan.space.question,
        table=plan.space.table,
        num_trials=len(states),
        num_finished=states.count(TrialState.FINISHED),
        caveats=plan_caveats(plan),
        answer=to_html(table),
        intervals=INTERVALS_NOTE,
        compared=plan.space.scale == "paper" and plan.space.table is not None,
        paper={"title": TITLE, "authors": AUTHORS, "url": URL},
        claims=[_claim_row(claim) for claim in judged],
        published_sd=f"{100 * ASSUMED_SEED_SD:g}",
        factors=_factors(plan),
        figures=shown,
        plotly=get_plotlyjs(),
        provenance=_provenance(plan),
        num_diverged=states.count(TrialState.DIVERGED),
        missing=bool(plan.to_run),
        command=command,
    )


def _factors(plan: Plan) -> str:
    """The analysis of variance of a crossed grid, as an HTML table; empty where it tells nothing."""
    axes = list(plan.space.scientific)
    finished = finished_table(plan)
    table = anova(finished, axes) if len(axes) >= MIN_GRID_AXES and len(finished) else pd.DataFrame()
    if table.empty:
        return ""
    shown = pd.DataFrame(
        {
            "factor": table["term"],
            "share of variance (partial ω²)": [
                f"{row.effect:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in table.itertuples()
            ],
            "F": [f"{row.F:.1f} ({row.df:.0f})" for row in table.itertuples()],
            "p": [p_text(p) for p in table["p"].astype(float)],
        }
    )
    style = shown.style.hide(axis="index").format(escape="html").format_index(escape="html", axis=1)
    text: str = style.set_table_attributes('class="factors"').to_html()
    return text


def _claim_row(claim: ClaimVerdict) -> dict[str, str]:
    ours, published = claim
    return {
        "verdict": ours.verdict,
        "text": str(ours.claim),
        "quote": ours.claim.quote,
        "effect": effect_text(ours),
        "p": p_text(ours.p_holm),
        "how": details(ours),
        "published": "-" if published is None else published.verdict,
    }


def _title(plan: Plan) -> str:
    return f"{plan.space.name}: {plan.space.question}"


def _below(plan: Plan, judged: Sequence[ClaimVerdict], command: str) -> str:
    """What belongs below a table: verdicts, where its numbers come from, and the command that fills it."""
    told = [f"{for_markdown(line)}\n" for line in (INTERVALS_NOTE, *plan_caveats(plan))]
    if plan.space.table is not None:
        told.append(f"The paper, of which this is Table {plan.space.table}: [{TITLE}]({URL}), by {AUTHORS}.\n")
    if judged:
        told.append(f"## Claims\n\n{claims_to_markdown(judged)}\n\n## Setup\n")
    made = [f"- {name}: {for_markdown(value)}" for name, value in _provenance(plan).items()]
    return "\n".join([*told, *made, f"- command: `{command}`"])


def _made(plan: Plan) -> str:
    """The same as `_provenance`, in a line."""
    return "; ".join(f"{name}: {value}" for name, value in _provenance(plan).items())


def _provenance(plan: Plan) -> dict[str, str]:
    """Where the numbers come from: what was run, on what, and what wrote this down."""
    space = plan.space
    records = [trial.record for trial in plan.trials if trial.record is not None and trial.state == TrialState.FINISHED]
    steps = sorted({trial.num_steps for trial in plan.trials})
    start = {} if space.base is not None else {"recipe": space.recipe, "scale": space.scale}
    ran_on: dict[str, Any] = {
        name: ", ".join(sorted({record.environment[name] for record in records if name in record.environment})) or "-"
        for name in ENVIRONMENT_TAGS
    }
    return {
        **start,
        "seeds": ", ".join(map(str, sorted({trial.candidate.config.seed for trial in plan.trials}))),
        "steps": str(steps[0]) if len(steps) == 1 else f"{steps[0]} to {steps[-1]}",
        **ran_on,
        "test images": ", ".join(sorted({f"{trial.num_test:,}" for trial in plan.trials})),
        "training version": str(TRAINING_VERSION),
        "written with": f"Python {platform.python_version()}, timm {version('timm')}",
    }
