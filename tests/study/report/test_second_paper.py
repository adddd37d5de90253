"""A second paper: one csv and its studies. Its numbers are typed here a second time."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import search_spaces
from search_spaces.framework import read_paper
from search_spaces.framework.space import SearchSpace
from study.analysis.verdicts import claim_verdicts
from study.ledger.ledger import Ledger
from study.report.axis_words import value_title
from study.report.paper_tables import paper_table
from tests.study.report.small_study import finish, write

TITLE = "Three things everyone should know about Vision Transformers"
URL = "https://arxiv.org/abs/2203.09795"
MODELS = [f"deit3_{size}_patch16_224.fb_in1k" for size in ("small", "base", "large")]
PUBLISHED = {
    "inat18": "68.0 60.6 64.4  74.1 71.1 73.3  75.9 75.3 75.4",
    "inat19": "73.9 68.7 72.5  78.2 75.7 77.3  79.7 78.7 79.3",
    "cifar10": "98.9 98.7 98.9  99.3 99.2 99.3  99.3 99.2 99.2",
    "cifar100": "90.5 89.1 90.1  92.5 91.8 92.1  93.2 92.7 93.0",
    "cars": "89.7 89.8 88.3  92.7 92.8 88.9  93.8 93.8 93.0",
    "flowers102_trainval": "96.8 96.9 96.1  97.8 98.5 97.5  98.3 98.4 97.6",
}
"""Table 6 by dataset: of each model, trained all, attention, mlp."""
MEAN_LEADS = {"sgd": (0.3, 0.1, 0.1), "adamw": (0.2, 0.0, 0.0)}
"""Table 5, ImageNet-val: full fine-tuning less attention alone, by optimizer, of each model."""


def rows_of_table_6() -> Iterator[tuple[tuple[str, str], list[float]]]:
    for dataset, numbers in PUBLISHED.items():
        for model, triple in zip(MODELS, numbers.split("  "), strict=True):
            yield (dataset, model), [*map(float, triple.split())]


@pytest.fixture
def space() -> SearchSpace:
    return search_spaces.load("attention_only")


@pytest.mark.parametrize("name", ["attention_only", "attention_only_inat"])
def test_its_tables_have_the_published_numbers_beside_ours(name: str) -> None:
    space = search_spaces.load(name)
    table = paper_table(finish(space, (0, 1), itertools.repeat(0.97)))
    assert list(table.columns) == ["all", "attention", "mlp"]
    rows = {row: numbers for row, numbers in rows_of_table_6() if row[0] in space.scientific["dataset"]}
    assert len(rows) == len(table) == 9
    for row, numbers in rows.items():
        for trained, number in zip(table.columns, numbers, strict=True):
            ours, *_, last = table.loc[tuple(map(value_title, row)), trained]
            assert ours == "97.00"
            assert last == f"paper {number:.2f} ({97 - number:+.2f})"


def test_numbers_of_other_images_are_shown_beside_no_cell() -> None:
    space = search_spaces.load("attention_only_384")
    assert not any(space.published(each) for each in space.candidates((0,)))
    rows = {(row.point["optimizer"], row.point["model.name"], row.point["model.trained"]): row.value
            for row in read_paper("three_things").rows_of("5") if row.point["dataset"] == "imagenet1k_val"}  # fmt: skip
    for optimizer, leads in MEAN_LEADS.items():
        found = [rows[optimizer, model, "all"] - rows[optimizer, model, "attention"] for model in MODELS]
        assert found == pytest.approx(leads)
    assert len(read_paper("three_things").rows) == 90


def test_its_claims_are_tested_on_our_results_and_on_the_published_numbers(space: SearchSpace) -> None:
    plan = finish(space, (0, 1), itertools.cycle([0.965, 0.969, 0.964]))
    plan = replace(plan, trials=[replace(trial, num_test=6149) for trial in plan.trials])
    by_run = {trial.record.run_id: trial.record.metrics["test_accuracy"] for trial in plan.trials}
    correct = {run_id: np.arange(6149) < 6149 * accuracy for run_id, accuracy in by_run.items()}
    [verdict] = claim_verdicts(plan, {}, lambda *_: correct)
    assert verdict.published.effect == pytest.approx((0.1 + 0.7 + 0.1) / 3)
    assert verdict.ours.effect == pytest.approx(0.4)


def test_claims_about_larger_models_are_supported_by_the_published_numbers() -> None:
    plan = finish(search_spaces.load("attention_only_inat"), (0,), itertools.repeat(0.9))
    _, gap, closes = claim_verdicts(plan, {}, lambda run_ids, split: dict.fromkeys(run_ids, np.ones(100, dtype=bool)))
    assert gap.published.effect == pytest.approx(73.9 - 68.7), "the smaller of both gaps limits the claim"
    assert closes.published.effect == pytest.approx((73.9 - 68.7) - (79.7 - 78.7))


def test_it_takes_few_lines_that_are_not_data() -> None:
    folder = search_spaces.PACKAGE / "three_things"
    assert sum(len(path.read_text().splitlines()) for path in folder.glob("**/*.py")) <= 150


def test_a_name_that_we_gave_to_numbers_of_a_paper_is_no_table_of_it(tmp_path: Path) -> None:
    space = replace(search_spaces.load("lp_ft"), nuisance={}, metric="accuracy", metrics=(), claims=())
    plan = finish(space, (0, 1), itertools.repeat(0.9))
    write(plan.with_records({}), Ledger(tmp_path), tmp_path / "report")
    page, tables = ((tmp_path / "report" / name).read_text() for name in ("report.html", "tables.md"))
    assert "shifts" not in page + tables
    assert "The paper: [Fine-Tuning can Distort Pretrained Features" in tables


def test_its_report_names_that_paper_and_no_other(space: SearchSpace, tmp_path: Path) -> None:
    write(finish(space, (0, 1), itertools.repeat(0.97)).with_records({}), Ledger(tmp_path), tmp_path / "report")
    page, tables = ((tmp_path / "report" / name).read_text() for name in ("report.html", "tables.md"))
    assert "Study attention_only, Table 6 of the paper: test accuracy on CIFAR-10, CIFAR-100, Flowers-102." in page
    assert f'The paper: <a href="{URL}">{TITLE}</a>, by Hugo Touvron,' in page
    assert f"This is Table 6 of the paper: [{TITLE}]({URL}), by Hugo Touvron," in tables
    assert "paper 98.50" in page
    assert "paper 98.50" in tables
    assert "RE_ViT" not in page + tables
