"""What a study leaves for others to read: one page that opens anywhere, tables for a paper, the numbers themselves."""

import itertools
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go
import pyarrow.parquet as pq
from plotly.offline import get_plotlyjs

from revit.folders import check_writable
from revit.identity import TRAINING_VERSION
from search_spaces.published import PAPER, published
from study.claims import ASSUMED_SEED_SD, Judgement, judge, judge_published
from study.factors import anova
from study.figures import CROSSED_AXES, figures, finished_table
from study.intervals import MEANING
from study.ledger import Ledger
from study.notes import notes
from study.paper_tables import for_markdown, layout, to_html, to_latex, to_markdown
from study.plan import Plan, Trial
from study.records import SURROUNDINGS
from study.report_folder import TRIALS, check_loses_nothing
from study.results import cell_table, counting_trials, trial_table
from study.spreadsheet import write_csv

MOST_NAME_CHARS = 100
"""Of a figure's file name, however long its cells are called."""


def write_report(plan: Plan, ledger: Ledger, folder: Path, command: str) -> list[Path]:
    """Write report.html, tables.md, tables.tex, cells.csv, trials.parquet and figures/; returns their paths.

    In figures/ is each figure of the page, as plotly's JSON: `plotly.io.read_json` opens it. Where the study was ever
    launched with its recipe and at its scale, all is also kept with the newest such launch, as artifacts in `report/`.

    Args:
        folder: of these reports alone (`folder_name`).
        command: what runs the study, and so fills what is missing.

    Raises:
        InputError: the folder cannot be written.
        ReportKeptError: the report that lies there has results that this one would lack.
    """
    check_writable(folder, "--reports")
    check_loses_nothing(plan, folder)
    table = layout(plan)
    title = _title(plan)
    shown = by_name(figures(plan, ledger))
    written = {
        "report.html": _page(plan, ledger, table, shown, command),
        "tables.md": f"# {for_markdown(title)}\n\n{to_markdown(table)}\n\n{_below(plan, command)}\n",
        "tables.tex": to_latex(table, title, [MEANING, *notes(plan), _made(plan)], command),
    }
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    write_csv(cell_table(plan), folder / "cells.csv")
    trial_table(plan).to_parquet(folder / TRIALS, index=False)
    paths = [folder / name for name in (*written, "cells.csv", TRIALS)]
    ledger.attach(plan.space.tags, paths, "report")
    ledger.attach(plan.space.tags, _write_figures(shown, folder / "figures"), "report/figures")
    return [*paths, folder / "figures"]


def claim_frame(trials: Sequence[Trial], ledger: Ledger) -> pd.DataFrame:
    """What claims are judged by: a row per finished trial, its axes in the study's own terms, its seed and answers."""
    rows = []
    for trial in trials:
        assert trial.known is not None, "a finished trial has its record"
        rows.append(
            {
                **trial.candidate.asked,
                "seed": trial.candidate.config.seed,
                "test_accuracy": trial.known.metrics["test_accuracy"],
                "num_test": trial.num_test,
                "right": _right(ledger.artifact(trial.known.run_id, "predictions.parquet")),
            }
        )
    return pd.DataFrame(rows)


def _right(predictions: Path) -> npt.NDArray[np.bool_]:
    """Which test images were classified right, (n,), in the order of the image store.

    Not by pandas, which takes seven times as long for a file of this size, and there is one per trial.
    """
    with pq.ParquetFile(predictions) as file:
        columns = file.read(columns=["index", "label", "prediction"], use_threads=False)
    index, label, prediction = (column.to_numpy() for column in columns.itercolumns())
    right: npt.NDArray[np.bool_] = (label == prediction)[np.argsort(index)]
    return right


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


def _page(plan: Plan, ledger: Ledger, table: pd.DataFrame, shown: Mapping[str, go.Figure], command: str) -> str:
    states = [trial.state for trial in plan.trials]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        name=plan.space.name,
        question=plan.space.question,
        table=plan.space.table,
        num_trials=len(states),
        num_finished=states.count("finished"),
        notes=notes(plan),
        answer=to_html(table),
        intervals=MEANING,
        compared=plan.space.scale == "paper" and plan.space.table is not None,
        claims=_claims(plan, ledger),
        published_sd=f"{100 * ASSUMED_SEED_SD:g}",
        factors=_factors(plan),
        axes=list(plan.space.scientific),
        figures=shown,
        plotly=get_plotlyjs(),
        provenance=_provenance(plan),
        missing=set(states) != {"finished"},
        command=command,
    )


def _factors(plan: Plan) -> str:
    """The analysis of variance of a crossed grid, as an HTML table; empty where it tells nothing."""
    axes = list(plan.space.scientific)
    finished = finished_table(plan)
    table = anova(finished, axes) if len(axes) >= CROSSED_AXES and len(finished) else pd.DataFrame()
    if table.empty:
        return ""
    shown = pd.DataFrame(
        {
            "factor": table["term"],
            "share of variance (partial ω²)": [
                f"{row.effect:.2f} [{row.low:.2f}, {row.high:.2f}]" for row in table.itertuples()
            ],
            "F": [f"{row.F:.1f} ({row.df:.0f})" for row in table.itertuples()],
            "p": [_p_text(p) for p in table["p"].astype(float)],
        }
    )
    style = shown.style.hide(axis="index").format(escape="html").format_index(escape="html", axis=1)
    text: str = style.set_table_attributes('class="factors"').to_html()
    return text


def _p_text(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _claims(plan: Plan, ledger: Ledger) -> list[dict[str, str]]:
    claims = plan.space.claims
    if not claims:
        return []
    frame = claim_frame(counting_trials(plan), ledger)
    rows = [row for row in published() if row.table == plan.space.table and row.source == PAPER]
    ours = judge(claims, frame, comparable=plan.space.scale == "paper")
    return [_claim_row(*pair) for pair in zip(ours, judge_published(claims, rows), strict=True)]


def _claim_row(ours: Judgement, theirs: Judgement) -> dict[str, str]:
    effect = "-"
    if ours.effect is not None:
        effect = f"{ours.effect:+.2f}"
        if ours.low is not None and ours.high is not None:
            effect += f" [{ours.low:.2f}, {ours.high:.2f}]"
    return {
        "verdict": ours.verdict,
        "text": str(ours.claim),
        "quote": ours.claim.quote,
        "effect": effect,
        "p": "-" if ours.p_holm is None else _p_text(ours.p_holm),
        "how": "; ".join(part for part in (ours.test, ours.reason) if part),
        "published": "-" if theirs.effect is None else theirs.verdict,  # where the paper has no numbers
    }


def _title(plan: Plan) -> str:
    return f"{plan.space.name}: {plan.space.question}"


def _below(plan: Plan, command: str) -> str:
    """What belongs below a table: where its numbers come from, and the command that fills it."""
    told = [f"{for_markdown(line)}\n" for line in (MEANING, *notes(plan))]
    made = [f"- {name}: {for_markdown(value)}" for name, value in _provenance(plan).items()]
    return "\n".join([*told, *made, f"- command: `{command}`"])


def _made(plan: Plan) -> str:
    """The same as `_provenance`, in a line."""
    return "; ".join(f"{name}: {value}" for name, value in _provenance(plan).items())


def _provenance(plan: Plan) -> dict[str, str]:
    """Where the numbers come from: what was run, on what, and what wrote this down."""
    space = plan.space
    records = [trial.known for trial in plan.trials if trial.known is not None and trial.state == "finished"]
    steps = sorted({trial.num_steps for trial in plan.trials})
    start = {} if space.base is not None else {"recipe": space.recipe, "scale": space.scale}
    ran_on: dict[str, Any] = {
        name: ", ".join(sorted({record.surroundings[name] for record in records if name in record.surroundings})) or "-"
        for name in SURROUNDINGS
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
