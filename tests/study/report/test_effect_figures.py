"""Figures of effects and of cells, against verdicts and trials."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

import search_spaces
from search_spaces.framework import BetterThan, InRange
from study.analysis.claim_tests import effect_bounds
from study.analysis.effects import Effect, StudyEffects
from study.analysis.verdicts import ClaimVerdict
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.effect_figures import MAX_CELLS, draw_cells, draw_effects
from tests.study.report.small_study import SPACE, finish, study_of


def test_axes_then_claims_are_drawn_in_the_order_of_the_table(finished: tuple[Plan, Ledger]) -> None:
    study = study_of(*finished)
    [figure] = draw_effects(study)
    drawn = sorted((y, x) for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True))
    of_axes = [each.effect for each in (*study.effects.effects, *study.effects.simple)]
    expected = [*of_axes, *(each.ours.effect for each in study.verdicts)]
    assert [x for _, x in drawn] == pytest.approx(expected, abs=1e-4)
    texts = [annotation.text for annotation in figure.layout.annotations]
    assert texts[-2:] == ["Axes", "Claims"]
    [claims] = draw_effects(replace(study, effects=None))
    assert [annotation.text for annotation in claims.layout.annotations][-1:] == ["Claims"]
    assert not draw_effects(replace(study, verdicts=(), effects=None))


def effect(axis: str, size: float, **changes: object) -> Effect:
    given = {"better": "a", "worse": "b", "num_seeds": 3, "num_settings": 1, "of_settings": 1, "run_ids": ()}
    return Effect(axis=axis, test="t", effect=size, low=size - 1, high=size + 1, **{**given, **changes})


def test_of_many_effects_the_strongest_of_each_axis_and_of_each_real_interaction_are_drawn() -> None:
    mains = [effect(axis, size) for axis in ("one", "other") for size in range(5)]
    real = effect("one", 1.0, is_real=True)
    pair = {"moderator": "other", "larger": "c", "smaller": "d"}
    crossed = [effect("one", 5.0, **pair, is_real=True), effect("one", 3.0, **pair, is_real=True)]
    other = effect("other", 9.0, moderator="one", larger="c", smaller="d")
    effects = StudyEffects(
        effects=[*mains, real, *crossed, other], simple=[], axes={"one": "ab", "other": "cd"}, left_out=[], best=None
    )
    study = replace(study_of(finish(SPACE, (0, 1), itertools.repeat(0.5))), effects=effects)
    [figure] = draw_effects(study)
    texts = [annotation.text for annotation in figure.layout.annotations]
    assert texts == [
        "<b>real</b>: one a less b", "<b>not decided</b>: other a less b", "<b>real</b>: one a less b, other c less d",
        "Axes, the strongest of each",
    ]  # fmt: skip
    assert [float(trace.x[0]) for trace in figure.data if trace.marker.symbol == "square"] == [1.0]
    assert [float(trace.x[-1]) for trace in figure.data if trace.marker.symbol == "square"] == [5.0]


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
    [figure] = draw_effects(replace(study, verdicts=(*study.verdicts, *added), effects=None))
    assert sum(len(trace.x) for trace in figure.data) == len(study.verdicts)


def test_margins_are_those_of_the_claim() -> None:
    helps, helps_by, *_ = search_spaces.load("pos_embed").claims
    assert effect_bounds(helps_by) == [(7.3, 1)]
    assert effect_bounds(helps) == [(0.0, 1)]
    assert effect_bounds(replace(helps, at_most=9)) == [(9, -1), (0.0, 1)]
    assert effect_bounds(InRange(below=0, quote="")) == [(0, -1)]
