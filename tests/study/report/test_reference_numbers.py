"""Numbers from elsewhere: in a cell, or in the list below the table."""

import pytest

import search_spaces
from revit.errors import InputError
from search_spaces.framework import read_paper
from search_spaces.framework.recipes import RECIPES
from study.report.reference_numbers import other_lines, other_rows

STUDIES = {search_spaces.load(name).table: name for name in search_spaces.names() if search_spaces.load(name).table}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_number_from_elsewhere_is_shown_in_the_study_of_its_table(recipe: str) -> None:
    shown = {}
    for table, name in STUDIES.items():
        try:
            space = search_spaces.load(name).variant(recipe=recipe)
        except InputError:  # a recipe that does not cover training from scratch, which has no such numbers
            assert not [row for row in read_paper("re_vit").rows_of(table) if row.source]
            continue
        cells = {row for each in space.candidates((0,)) for row in space.published(each) if row.source}
        others = set(other_rows(space))
        assert not cells & others
        shown |= dict.fromkeys(cells | others, name)
    from_elsewhere = [row for row in read_paper("re_vit").rows if row.source and row.epoch is None]
    assert len(from_elsewhere) == 3 + 13, "quoted by the paper, and found by this project"
    assert [row for row in from_elsewhere if shown.get(row) != STUDIES[row.table]] == []


def test_a_line_says_where_a_number_departs_from_the_table() -> None:
    assert other_lines(search_spaces.load("replication")) == [
        "CIFAR-10, ViT-B/16, resolution 224: 99.00 (vit-finetune; SGD .01, batch 128, 5000 steps, warmup 500, AMP)",
        "CIFAR-10, BiT ResNet-50x1, resolution 128, schedule multistep: 97.30 "
        "(BiT code; range 97.2-97.4; 128 px, batch 128, lr .001)",
    ]


def test_accuracies_are_shown_in_a_study_of_a_further_test_set_with_what_it_compares() -> None:
    lines = other_lines(search_spaces.load("lp_ft").variant(scale="nano"))
    assert len(lines) == 9
    assert lines[-1] == "dataset STL-10, method LP-FT: 90.70 (at second hand)"


def test_a_part_of_a_study_or_one_without_a_paper_has_no_such_list() -> None:
    assert other_lines(search_spaces.load("quickstart")) == []
    assert other_lines(search_spaces.load("replication").about("loss")) == []
