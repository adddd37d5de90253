"""Figures of effects and of cells, against verdicts and trials."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import search_spaces
from search_spaces.framework import BetterThan, InRange
from study.analysis.claim_tests import effect_bounds
from study.analysis.verdicts import ClaimVerdict
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.effect_figures import MAX_CELLS, draw_cells, draw_effects
from tests.study.report.small_study import finish, study_of


def test_every_claim_with_an_effect_is_drawn_in_the_order_of_the_table(finished: tuple[Plan, Ledger]) -> None:
    study = study_of(*finished)
    [figure] = draw_effects(study)
    drawn = sorted((y, x) for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True))
    assert [x for _, x in drawn] == pytest.approx([each.ours.effect for each in study.verdicts], abs=1e-4)
    assert not draw_effects(replace(study, verdicts=()))


def test_a_study_without_a_numeric_axis_has_every_cell_with_its_seeds_and_published_values() -> None:
    space = search_spaces.load("pos_embed")
    accuracies = [0.8, 0.82, 0.84, 0.6, 0.62, 0.64, 0.5, 0.52, 0.54, 0.3, 0.32, 0.34]
    [figure] = draw_cells(study_of(finish(space, (0, 1, 2), accuracies)))
    seeds = [trace for trace in figure.data if trace.text is not None]
    of_cells = [accuracies[number::4] for number in range(4)]  # candidates go seed by seed
    assert np.allclose([trace.x for trace in seeds], 100 * np.array(of_cells))
    [paper] = [trace for trace in figure.data if trace.name == "paper"]
    assert np.allclose(sorted(paper.x), [69.86, 84.64])


def test_along_a_numeric_axis_or_of_too_many_cells_no_rows_are_drawn(finished: tuple[Plan, Ledger]) -> None:
    assert draw_cells(study_of(*finished)) == []
    space = search_spaces.load("pos_embed")
    many = {str(number): {"batch_size": number} for number in range(1, MAX_CELLS // 4 + 2)}
    space = replace(space, scientific={**space.scientific, "batch": many}, claims=())
    assert draw_cells(study_of(finish(space, (0,), itertools.repeat(0.5)))) == []


def test_effects_of_another_metric_or_unit_are_not_drawn(finished: tuple[Plan, Ledger]) -> None:
    study = study_of(*finished)
    (ours, _), *_ = study.verdicts
    arms = {"better": {"resolution": 28}, "worse": {"resolution": 8}, "quote": ""}
    own = [
        BetterThan(**arms, metric="loss"),
        BetterThan(**arms, metric="peak_memory_bytes", relative=True),
        InRange(above=90, quote=""),
    ]
    added = [ClaimVerdict(replace(ours, claim=claim), None) for claim in own]
    [figure] = draw_effects(replace(study, verdicts=(*study.verdicts, *added)))
    assert sum(len(trace.x) for trace in figure.data) == len(study.verdicts)


def test_margins_are_those_of_the_claim() -> None:
    helps, helps_by, *_ = search_spaces.load("pos_embed").claims
    assert effect_bounds(helps_by) == [(7.3, 1)]
    assert effect_bounds(helps) == [(0.0, 1)]
    assert effect_bounds(replace(helps, at_most=9)) == [(9, -1), (0.0, 1)]
    assert effect_bounds(InRange(below=0, quote="")) == [(0, -1)]
