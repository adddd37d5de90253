"""Published accuracies: facts of the paper's tables."""

import pytest

import search_spaces
from search_spaces.framework.claims import Matches
from search_spaces.framework.published import published


def test_published_values_are_facts_of_the_tables() -> None:
    rows = published()
    assert len(rows) == 58
    paper = {
        (row.table, *(row.point[axis] for axis in ("dataset", "model.name", "resolution", "data_fraction"))): row
        for row in rows
        if row.source == "re_vit"
    }
    flowers = paper[2, "flowers", "vit_b16_in21k", 384, 1.0]
    assert (flowers.accuracy_pct, flowers.num_test) == (98.53, 1020)
    assert paper[4, "brain_tumor_mri", "vit_b16_in21k", 384, 1.0].num_test is None
    assert paper[3, "cifar100", "bit_r50x1_in21k", 384, 0.1].accuracy_pct == 69.04


def test_what_a_replication_is_to_match_is_what_table_1_quotes() -> None:
    (claim,) = search_spaces.load("replication").claims
    assert isinstance(claim, Matches)
    quoted = {
        row.point["dataset"]: row.accuracy_pct for row in published() if row.table == 1 and row.source == "vit_2021"
    }
    assert claim.published == quoted


@pytest.mark.parametrize("name", ["resolution", "data_fraction", "domain_shift", "optimizer_schedule", "pos_embed"])
def test_published_points_have_values_on_all_axes_of_their_study(name: str) -> None:
    study = search_spaces.load(name)
    for row in published():
        if row.table == study.table:
            for axis, values in study.scientific.items():
                assert row.point[axis] in values


def test_numbers_from_elsewhere_need_the_same_experiment() -> None:
    paper, elsewhere = (next(row for row in published() if row.source == source) for source in ("re_vit", "bit_readme"))
    assert paper.identifying_axes == {"dataset"}
    assert elsewhere.identifying_axes == {
        "dataset", "model.name", "resolution", "data_fraction", "optimizer.name", "schedule.name", "model.pos_embed"
    }  # fmt: skip
