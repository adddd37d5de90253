"""Claims as lines, Markdown or records."""

import json
from dataclasses import replace
from pathlib import Path

import search_spaces
from revit.training.metrics import METRICS
from search_spaces.framework import BetterThan
from study.analysis.claim_tests import ClaimResult
from study.analysis.verdicts import ClaimVerdict
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.claim_list import format_claim, format_effect, to_lines, untested_sentences
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
        assert f"- **{ours.verdict}**: {format_claim(ours, METRICS['accuracy'])}; {ours.effect:+.2f} [" in markdown
        assert (claim["verdict"], claim["effect"], claim["published"]) == (ours.verdict, ours.effect, None)


def test_claims_use_the_values_of_the_tables(tmp_path: Path) -> None:
    nothing = Plan(space=search_spaces.load("resolution").variant(scale="nano"), trials=())
    lines = to_lines(verdicts_of(nothing, Ledger(tmp_path / "mlruns")), METRICS["accuracy"])
    claim = "resolution 28 has the highest accuracy of 64, 48, 28, 16, 8, where dataset photos"
    published = "verdict recomputed from published numbers: "
    assert f"{claim}; no result for dataset photos, resolution 28; {published}" in lines[1]


def test_a_difference_in_differences_reads_without_a_formula() -> None:
    interaction, *_ = search_spaces.load("data_fraction").claims
    result = ClaimResult(claim=interaction, verdict="inconclusive")
    assert format_claim(result, METRICS["accuracy"]) == (
        "ViT-B/16 gains more accuracy from 10 % of the training images to 100 % than BiT ResNet-50x1, "
        "for each dataset of CIFAR-100, flowers, where budget matched epochs"
    )


def test_a_claim_of_another_metric_has_its_words_and_its_unit() -> None:
    arms = {"better": {"model.trained": "attention"}, "worse": {"model.trained": "all"}, "quote": ""}
    memory = BetterThan(**arms, metric="peak_memory_bytes", at_least=10, relative=True)
    found = ClaimResult(claim=memory, verdict="supported", effect=12.345, low=11.0, high=13.5, p_holm=0.01)
    (line,) = to_lines([ClaimVerdict(found, None)], METRICS["accuracy"])
    assert line.endswith(
        "has lower peak memory than trained part all by at least 10 %; +12.35 [11.00, 13.50] %, p 0.010"
    )
    seconds = replace(found, claim=BetterThan(**arms, metric="train_time_s"))
    assert format_effect(seconds, METRICS["accuracy"]) == "+12.35 [11.00, 13.50] s"
    assert format_effect(replace(found, claim=BetterThan(**arms)), METRICS["accuracy"]) == "+12.35 [11.00, 13.50]"


def test_sentences_without_a_claim_are_those_of_the_table() -> None:
    found = {name: len(untested_sentences(search_spaces.load(name))) for name in search_spaces.names()}
    assert {name: number for name, number in found.items() if number} == {
        "domain_shift": 10,
        "pos_embed": 5,
        **dict.fromkeys(("attention_only", "attention_only_384", "attention_only_inat"), 1),
    }
