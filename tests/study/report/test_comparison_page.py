"""Comparison of two versions of a study: page, lines, JSON."""

import html
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from revit.training.metrics import METRICS
from search_spaces.framework.claims import BetterThan
from study.analysis.claim_tests import ClaimResult
from study.analysis.comparison import CellComparison, CellValue, ClaimChange, Comparison, Version
from study.report.comparison_page import (
    caveats,
    comparison_table,
    format_cell_value,
    format_difference,
    setting_rows,
    to_json,
    to_lines,
    write_comparison,
)
from study.staleness import Change
from tests.study.report.small_study import SPACE, finish

ACCURACY = METRICS["accuracy"]
NOTHING = CellValue(mean=math.nan, low=math.nan, high=math.nan, num_seeds=0)
CELL = {"resolution": 8, "model.pos_embed": "learned"}
CLAIM = BetterThan(better={"resolution": 28}, worse={"resolution": 8}, quote="It is better.")


@pytest.fixture
def comparison() -> Comparison:
    plan = finish(SPACE, (0, 1), [0.9] * 12)
    before, now = (Version(name, plan, {}, lambda *_: NotImplemented, []) for name in ("before <noon>", "now"))
    cell = CellComparison(
        cell=CELL,
        before=CellValue(mean=0.8, low=0.75, high=0.85, num_seeds=3),
        now=CellValue(mean=0.9, low=math.nan, high=math.nan, num_seeds=2),
        effect=0.1, low=0.02, high=0.18, p=0.01, p_holm=0.02, num_seeds=2, test="a test",
    )  # fmt: skip
    missing = CellComparison(cell={**CELL, "resolution": 16}, before=NOTHING, now=NOTHING, test="no result")
    changed = ClaimChange(
        CLAIM, ClaimResult(claim=CLAIM, verdict="inconclusive"), ClaimResult(claim=CLAIM, verdict="supported")
    )
    return Comparison(
        before=before, now=now, cells=[cell, missing], only_before=[{**CELL, "resolution": 64}], only_now=[],
        claims=[changed],
        settings={
            Change("optimizer.lr", "0.1", "0.2"): [CELL],
            Change("mixup", None, "0.1"): [CELL, CELL],
            Change("data", "d0", "d1", is_input=True): [],
        },
    )  # fmt: skip


def test_values_and_differences_are_in_the_unit_of_the_metric(comparison: Comparison) -> None:
    cell, missing = comparison.cells
    assert format_cell_value(cell.before, ACCURACY) == "80.00 [75.00, 85.00]"
    assert format_cell_value(cell.now, ACCURACY) == "90.00"
    assert format_difference(cell, ACCURACY) == "+10.00 [2.00, 18.00]"
    assert format_difference(missing, ACCURACY) == format_cell_value(missing.now, ACCURACY) == "-"
    assert format_difference(replace(cell, low=None, high=None), METRICS["loss"]) == "+0.1000"


def test_the_table_and_lines_of_a_terminal(comparison: Comparison) -> None:
    table = comparison_table(comparison)
    assert table.headings[2:5] == ["before <noon>", "now", "difference, pp"]
    assert table.rows[0] == ["8", "learned", "80.00 [75.00, 85.00]", "90.00", "+10.00 [2.00, 18.00]", "0.020", "a test"]
    lines = to_lines(comparison)
    assert lines[0] == "only in before <noon>: resolution=64 pos_embed=learned"
    assert lines[1].startswith("verdict inconclusive, now supported: ")
    assert lines[2:] == [
        "optimizer.lr: 0.1, now 0.2 (resolution=8 pos_embed=learned)",
        "mixup: not a field, now 0.1 (all 2 cells)",
        "data: another, now changed (0 of 2 cells)",
    ]
    same = replace(comparison, settings={}, claims=[ClaimChange(CLAIM, *[comparison.claims[0].now] * 2)])
    assert to_lines(same)[1:] == [
        "the verdicts of 1 claims are the same",
        "no setting differs in cells that both have results of",
    ]


def test_a_caveat_of_one_version_names_it(comparison: Comparison) -> None:
    before, now = (
        version._replace(plan=replace(version.plan, caveats=["both", f"only {number}"]))
        for number, version in enumerate((comparison.before, comparison.now))
    )
    assert caveats(replace(comparison, before=before, now=now))[:2] == ["both", "now: only 1"]
    assert "before <noon>: only 0" in caveats(replace(comparison, before=before, now=now))


def test_page_and_json_have_every_row(comparison: Comparison, tmp_path: Path) -> None:
    page, record = write_comparison(comparison, tmp_path)
    assert page == tmp_path / "looks-seeds-2" / page.name or page.parent.name == "looks"
    text = page.read_text()
    assert "<noon>" not in text
    shown = html.unescape(text)
    assert "<b>+10.00 [2.00, 18.00]</b>" in shown, "real at 5 %"
    assert "learning rate <code>optimizer.lr</code>" in shown
    assert all(value in shown for row in setting_rows(comparison) for value in row)
    found = json.loads(record.read_text())
    assert found == json.loads(json.dumps(to_json(comparison)))
    assert found["cells"][0]["effect"] == pytest.approx(10.0)
    assert found["cells"][1]["before"] == {"mean": None, "low": None, "high": None, "n": 0}
    assert found["claims"][0]["changed"] is True
