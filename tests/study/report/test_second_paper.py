"""A second paper: one csv and a study outside of the package. Its numbers are typed here a second time."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import search_spaces
from search_spaces.framework.space import SearchSpace
from study.analysis.verdicts import claim_verdicts
from study.ledger.ledger import Ledger
from study.report.axis_words import value_title
from study.report.paper_tables import paper_table
from tests.study.report.small_study import finish, write

STUDY = Path(__file__).parents[2] / "three_things" / "attention_only.py"
TITLE = "Three things everyone should know about Vision Transformers"
URL = "https://arxiv.org/abs/2203.09795"
PUBLISHED = {
    ("cifar10", "vit_s"): (98.9, 98.7, 98.9),
    ("cifar10", "vit_b"): (None, None, None),
    ("flowers102", "vit_s"): (96.8, 96.9, 96.1),
    ("flowers102", "vit_b"): (97.8, 98.5, 97.5),
}
"""Table 6 by dataset and model: trained all, attention, mlp."""


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return search_spaces.load(str(STUDY))


def test_its_table_has_the_published_numbers_beside_ours(space: SearchSpace) -> None:
    table = paper_table(finish(space, (0, 1), itertools.repeat(0.97)))
    assert list(table.columns) == ["all", "attention", "mlp"]
    for row, numbers in PUBLISHED.items():
        for trained, number in zip(table.columns, numbers, strict=True):
            ours, *_, last = table.loc[tuple(map(value_title, row)), trained]
            assert ours == "97.00"
            assert last == ("[95.74, 97.97]" if number is None else f"paper {number:.2f} ({97 - number:+.2f})")


def test_its_claims_are_tested_on_our_results_and_on_the_published_numbers(space: SearchSpace) -> None:
    _, match = space.claims
    assert match.published == dict(zip(("all", "attention", "mlp"), PUBLISHED["flowers102", "vit_s"], strict=True))
    plan = finish(space, (0, 1), itertools.cycle([0.965, 0.969, 0.964]))
    plan = replace(plan, trials=[replace(trial, num_test=6149) for trial in plan.trials])
    by_run = {trial.record.run_id: trial.record.metrics["test_accuracy"] for trial in plan.trials}
    verdicts = claim_verdicts(plan, {}, lambda run_id, split: np.arange(6149) < 6149 * by_run[run_id])
    assert [verdict.published.effect for verdict in verdicts] == pytest.approx([98.5 - 97.8, 0])
    assert verdicts[0].ours.effect == pytest.approx(0.4)
    assert verdicts[1].ours.effect == pytest.approx(96.5 - 96.8), "the difference that limits the claim"


def test_its_report_names_that_paper_and_no_other(space: SearchSpace, tmp_path: Path) -> None:
    write(finish(space, (0, 1), itertools.repeat(0.97)).with_records({}), Ledger(tmp_path), tmp_path / "report")
    page, tables = ((tmp_path / "report" / name).read_text() for name in ("report.html", "tables.md"))
    assert "Study attention_only, Table 6 of the paper: test accuracy on CIFAR-10, Flowers-102." in page
    assert f'The paper: <a href="{URL}">{TITLE}</a>, by Touvron, Cord,' in page
    assert f"This is Table 6 of the paper: [{TITLE}]({URL}), by Touvron, Cord," in tables
    assert "paper 98.50" in page
    assert "paper 98.50" in tables
    assert "RE_ViT" not in page + tables
