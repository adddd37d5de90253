"""Claims as lines, Markdown or records."""

import json
from pathlib import Path

import search_spaces
from revit.training.metrics import METRICS
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.claim_list import to_lines
from tests.study.report.small_study import NASTY, verdicts_of


def test_verdicts_are_in_the_terminal_in_markdown_and_in_json(finished: tuple[Plan, Ledger], folder: Path) -> None:
    plan, ledger = finished
    verdicts = verdicts_of(plan, ledger)
    lines, markdown = to_lines(verdicts, METRICS["accuracy"]), (folder / "tables.md").read_text()
    summary = json.loads((folder / "report.json").read_text())
    assert (summary["study"], summary["num_trials"], summary["num_finished"]) == ("looks", 12, 12)
    assert [claim["quote"] for claim in summary["claims"]] == [NASTY, "More is more."]
    for line, claim, (ours, _) in zip(lines, summary["claims"], verdicts, strict=True):
        assert line.startswith(ours.verdict)
        assert f"{ours.effect:+.2f} [{ours.low:.2f}, {ours.high:.2f}] pp, p " in line
        assert f"- **{ours.verdict}**: {ours.claim}; {ours.effect:+.2f} [" in markdown
        assert (claim["verdict"], claim["effect"], claim["published"]) == (ours.verdict, ours.effect, None)


def test_claims_use_the_values_of_the_tables(tmp_path: Path) -> None:
    nothing = Plan(space=search_spaces.load("resolution").variant(scale="nano"), trials=())
    lines = to_lines(verdicts_of(nothing, Ledger(tmp_path / "mlruns")), METRICS["accuracy"])
    claim = "resolution 28 has the highest accuracy of 64, 48, 28, 16, 8, where dataset photos"
    published = "verdict recomputed from published numbers: "
    assert f"{claim}; no result for dataset photos, resolution 28; {published}" in lines[1]
