"""Claims as lines, Markdown or records."""

import json
from pathlib import Path

import pytest

import search_spaces
from study.analysis.results import reported_trials
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.claim_list import format_test, to_lines
from tests.study.report.small_study import NASTY, frame_of, verdicts_of


def test_verdicts_are_in_the_terminal_in_markdown_and_in_json(finished: tuple[Plan, Ledger], folder: Path) -> None:
    plan, ledger = finished
    verdicts = verdicts_of(plan, ledger)
    lines, markdown = to_lines(verdicts), (folder / "tables.md").read_text()
    summary = json.loads((folder / "report.json").read_text())
    assert (summary["study"], summary["num_trials"], summary["num_finished"]) == ("looks", 12, 12)
    assert [claim["quote"] for claim in summary["claims"]] == [NASTY, "More is more."]
    for line, claim, (ours, _) in zip(lines, summary["claims"], verdicts, strict=True):
        assert line.startswith(ours.verdict)
        assert f"{ours.effect:+.2f} [{ours.low:.2f}, {ours.high:.2f}] pp, p " in line
        assert f"- **{ours.verdict}**: {ours.claim}; {ours.effect:+.2f} [" in markdown
        assert (claim["verdict"], claim["effect"], claim["published"]) == (ours.verdict, ours.effect, None)


def test_claims_are_tested_on_the_predictions_of_each_image(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    frame = frame_of(reported_trials(plan), ledger)
    assert len(frame) == 12
    for row in frame.itertuples():
        assert len(row.correct) == row.num_test == 359
        assert row.correct.mean() == pytest.approx(row.test_accuracy)
        assert row.prior_variance is None, "two seeds have a variance of their own"


def test_the_variance_of_one_seed_comes_from_the_ledger(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    frame = frame_of([trial for trial in reported_trials(plan) if trial.candidate.config.seed == 0], ledger)
    by_cell = frame_of(reported_trials(plan), ledger).groupby(["resolution", "model.pos_embed"])["test_accuracy"]
    assert len(frame) == 6
    [prior] = set(frame["prior_variance"])
    assert prior == pytest.approx((by_cell.var().mean(), 6))


@pytest.mark.parametrize(
    ("scale", "reason"), [("nano", "of the paper's scale: not comparable"), ("paper", "no result for dataset cifar10")]
)
def test_published_accuracies_are_matched_only_at_the_papers_scale(tmp_path: Path, scale: str, reason: str) -> None:
    nothing = Plan(space=search_spaces.load("replication").variant(scale=scale), trials=())
    [(ours, published)] = verdicts_of(nothing, Ledger(tmp_path / "mlruns"))
    assert ours.verdict == "inconclusive"
    assert format_test(ours).endswith(reason)
    assert published is not None


def test_claims_use_the_values_of_the_tables(tmp_path: Path) -> None:
    nothing = Plan(space=search_spaces.load("resolution").variant(scale="nano"), trials=())
    lines = to_lines(verdicts_of(nothing, Ledger(tmp_path / "mlruns")))
    claim = "resolution 28 is the best of 64, 48, 28, 16, 8, where dataset photos"
    published = "verdict recomputed from published numbers: "
    assert f"{claim}; no result for dataset photos, resolution 28; {published}" in lines[0]
