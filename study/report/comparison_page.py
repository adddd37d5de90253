"""Comparison of two versions of a study, as a page, lines for a terminal, or plain values."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from revit.paths import check_writable
from revit.training.metrics import Metric, find_metric
from search_spaces.framework.claim_cells import Value
from study.analysis.comparison import CellComparison, CellValue, Comparison
from study.analysis.intervals import intervals_note
from study.labels import label
from study.report.axis_words import axis_titles, value_title
from study.report.caveats import plan_caveats
from study.report.claim_list import format_claim, format_effect, format_p
from study.report.fitted_table import FittedTable
from study.report.report_folder import folder_name
from study.report.setting_words import WORDS
from study.report.writer import load_template

NO_VALUE = "-"
MAX_NAME_CHARS = 100
"""Characters of a file's name, without its suffix."""


def metric_of(comparison: Comparison) -> Metric:
    """Return the metric that both versions are about."""
    return find_metric(comparison.now.plan.space.metric)


def format_cell_value(value: CellValue, metric: Metric) -> str:
    """Return a mean with its interval: `93.04 [88.57, 97.02]`."""
    if not value.num_seeds:
        return NO_VALUE
    mean = metric.format(value.mean)
    return mean if math.isnan(value.low) else f"{mean} [{metric.format(value.low)}, {metric.format(value.high)}]"


def format_difference(cell: CellComparison, metric: Metric) -> str:
    """Return the difference with its interval, in the metric's unit of differences."""
    if cell.effect is None:
        return NO_VALUE
    effect = metric.format_effect(metric.factor * cell.effect)
    if cell.low is None or cell.high is None:
        return effect
    return f"{effect} [{', '.join(metric.format(each) for each in (cell.low, cell.high))}]"


def comparison_table(comparison: Comparison) -> FittedTable:
    """Return a row per cell: axes, both values, difference, p after Holm's correction, test."""
    metric, axes = metric_of(comparison), list(comparison.now.plan.space.scientific)
    rows = [
        [
            *(value_title(cell.cell[axis]) for axis in axes),
            format_cell_value(cell.before, metric),
            format_cell_value(cell.now, metric),
            format_difference(cell, metric),
            format_p(cell.p_holm),
            cell.test,
        ]
        for cell in comparison.cells
    ]
    difference = f"difference, {metric.difference_unit}"
    headings = [
        *axis_titles(axes).values(),
        comparison.before.label,
        comparison.now.label,
        difference,
        "p (Holm)",
        "test",
    ]
    title = f"{comparison.now.plan.space.name}: {metric.heading}"
    return FittedTable(headings, rows, title=title, caption=intervals_note(metric), spare=["test"])


def to_lines(comparison: Comparison) -> list[str]:
    """Return lines on cells that one version lacks, verdicts that changed, and settings that differ."""
    changed = [each for each in comparison.claims if each.has_changed]
    metric = metric_of(comparison)
    return [
        *(f"only in {comparison.before.label}: {label(cell)}" for cell in comparison.only_before),
        *(f"only in {comparison.now.label}: {label(cell)}" for cell in comparison.only_now),
        *(
            f"verdict {each.before.verdict}, now {each.now.verdict}: {format_claim(each.now, metric)}"
            for each in changed
        ),
        *(
            [f"the verdicts of {len(comparison.claims)} claims are the same"]
            if comparison.claims and not changed
            else []
        ),
        *(f"{name}: {before}, now {now} ({where})" for name, before, now, where in setting_rows(comparison)),
        *([] if comparison.settings else ["no setting differs in cells that both have results of"]),
    ]


def setting_rows(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """Return a row per setting that differs: its field, the value before, the value now, and in which cells."""
    num_cells = len(comparison.cells)
    return [
        (
            change.name,
            "another" if change.is_input else _text(change.before),
            "changed" if change.is_input else _text(change.after),
            _where(cells, num_cells),
        )
        for change, cells in comparison.settings.items()
    ]


def _text(value: str | None) -> str:
    """Return a recorded value as it is shown."""
    return "not a field" if value is None else value


def _where(cells: Sequence[Mapping[str, Value]], num_cells: int) -> str:
    if len(cells) == num_cells:
        return f"all {num_cells} cells"
    return label(cells[0]) if len(cells) == 1 else f"{len(cells)} of {num_cells} cells"


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return plain values for JSON; differences are in the metric's unit of differences."""
    metric = metric_of(comparison)
    return {
        "study": comparison.now.plan.space.name,
        "metric": comparison.now.plan.space.metric,
        "before": comparison.before.label,
        "now": comparison.now.label,
        "cells": [_cell_record(cell, metric) for cell in comparison.cells],
        "only_before": [dict(cell) for cell in comparison.only_before],
        "only_now": [dict(cell) for cell in comparison.only_now],
        "claims": [
            {
                "claim": format_claim(each.now, metric),
                "before": each.before.verdict,
                "now": each.now.verdict,
                "changed": each.has_changed,
            }
            for each in comparison.claims
        ],
        "settings": [
            {"setting": name, "before": before, "now": now, "cells": where}
            for name, before, now, where in setting_rows(comparison)
        ],
    }


def _cell_record(cell: CellComparison, metric: Metric) -> dict[str, Any]:
    def scaled(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else metric.factor * value

    values = {
        name: {"mean": scaled(each.mean), "low": scaled(each.low), "high": scaled(each.high), "n": each.num_seeds}
        for name, each in (("before", cell.before), ("now", cell.now))
    }
    difference = {name: scaled(getattr(cell, name)) for name in ("effect", "low", "high")}
    tested = {"p": cell.p, "p_holm": cell.p_holm, "num_seeds": cell.num_seeds, "test": cell.test}
    return {"cell": dict(cell.cell), **values, **difference, **tested}


def caveats(comparison: Comparison) -> list[str]:
    """Return the caveats of both versions, with the version's name where only one has it."""
    before, now = (plan_caveats(version.plan) for version in (comparison.before, comparison.now))
    return [
        *(line if line in before else f"{comparison.now.label}: {line}" for line in now),
        *(f"{comparison.before.label}: {line}" for line in before if line not in now),
    ]


def write_comparison(comparison: Comparison, reports: Path) -> list[Path]:
    """Write a comparison as a page and as JSON beside the report of the version now; return their paths.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = reports / folder_name(comparison.now.plan)
    check_writable(folder, "reports")
    metric = metric_of(comparison)
    context = {
        "comparison": comparison,
        "space": comparison.now.plan.space,
        "metric": metric,
        "intervals": intervals_note(metric),
        "caveats": caveats(comparison),
        "settings": setting_rows(comparison),
        "words": WORDS,
        "label": label,
        "axis_titles": axis_titles(list(comparison.now.plan.space.scientific)),
        "value_title": value_title,
        "format_cell_value": format_cell_value,
        "format_difference": format_difference,
        "format_claim": format_claim,
        "format_effect": format_effect,
        "format_p": format_p,
    }
    name = re.sub(r"[^\w.-]+", "-", f"compared-with-{comparison.before.label}")[:MAX_NAME_CHARS]
    texts = {
        f"{name}.html": load_template("comparison.html.j2").render(context),
        f"{name}.json": json.dumps(to_json(comparison), indent=1) + "\n",
    }
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")
    return [folder / file for file in texts]
