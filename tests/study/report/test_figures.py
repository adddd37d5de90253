"""Figures that a study's axes allow."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

import search_spaces
from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.figures import (
    FIGURES,
    MAX_INTERACTIONS,
    draw_figures,
    draw_grid,
    draw_metric,
    draw_published_curves,
    draw_schedules,
)
from study.report.finished_study import FinishedStudy
from tests.study.report.small_study import finish, study_of


def test_a_grid_is_drawn_whatever_the_names_of_its_axes(tmp_path: Path) -> None:
    """Interactions are found by their axes, not by the text between their names."""
    space = SearchSpace(
        name="asks", question="?", base=FineTuneConfig(dataset="digits", steps=1), seeds=(0, 1, 2),
        scientific={
            "crops x flips": {"a": {"hflip": True}, "b": {}}, "steps": (1, 2), "x": {"1": {}, "2": {"mixup": 0.1}},
        },
    )  # fmt: skip
    plan = finish(space, space.seeds, ((37 * number % 10) / 10 for number in itertools.count()))
    study = FinishedStudy(plan, Ledger(tmp_path), plan.trials)
    assert len(draw_grid(study)) == 2 + MAX_INTERACTIONS


def test_every_figure_that_the_axes_allow_is_drawn(finished: tuple[Plan, Ledger]) -> None:
    study = study_of(*finished)
    assert {draw.__name__: len(draw(study)) for draw in FIGURES} == {
        "draw_effects": 1, "draw_cells": 0, "draw_metric": 1, "draw_learning_curves": 2, "draw_schedules": 0,
        "draw_published_curves": 0, "draw_grid": 0,
        "draw_training_time": 1, "draw_searches": 0, "draw_answers": 4, "draw_model_internals": 3, "draw_samples": 0,
    }  # fmt: skip


def test_without_images_the_figures_that_show_them_are_left_out(finished: tuple[Plan, Ledger]) -> None:
    """Confusion matrices, filters and similarities stay: classes and weights are the trials' own."""
    plan, ledger = finished
    absent = replace(plan, trials=[replace(trial, images=None, weights=None) for trial in plan.trials])
    studies = [study_of(each, ledger) for each in (plan, absent)]
    here, there = ([figure.layout.meta["title"] for figure in draw_figures(each)] for each in studies)
    left_out = [title for title in here if title.startswith(("Images that most", "Attention"))]
    assert len(left_out) == 2
    assert there == [title for title in here if title not in left_out]


class Curves:
    """A ledger in which every trial has a curve of ten points over its 2,500 steps."""

    def __init__(self, *metrics: str) -> None:
        self.metrics = metrics

    def curve(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        return [(250 * epoch, 0.9) for epoch in range(1, 11)] if metric in self.metrics else []


def test_published_curves_are_drawn_where_the_test_curve_of_their_cells_was_measured() -> None:
    space = search_spaces.load("optimizer_schedule").variant(recipe="authors")
    plan = finish(space, (0,), itertools.repeat(0.9))
    assert draw_published_curves(FinishedStudy(plan, Curves(), plan.trials)) == []
    [figure] = draw_published_curves(FinishedStudy(plan, Curves("test_curve_accuracy"), plan.trials))
    lines = {trace.name.replace("<br>", " "): trace for trace in figure.data if trace.name}
    assert len([name for name in lines if name.startswith("paper")]) == 5 == len(lines) / 2
    name = "SGD, learning rate fixed, schedule cosine"
    theirs = lines[f"paper, vit2_1.py; cell 1: {name}"]
    assert max(theirs.y) == pytest.approx(98.72)
    ours = lines[name]
    assert list(ours.x) == list(theirs.x) == list(range(1, 11))


def finished_grid(**changes: object) -> FinishedStudy:
    scientific = {"optimizer.name": ("sgd", "adamw"), "data_fraction": (0.25, 0.5, 1.0), **changes}
    base = FineTuneConfig(dataset="digits", steps=1)
    plan = finish(
        SearchSpace(name="many", question="?", base=base, scientific=scientific), (0, 1), itertools.repeat(0.5)
    )
    return FinishedStudy(plan, Curves("lr"), plan.trials)


def test_many_lines_are_divided_into_panels() -> None:
    [figure] = draw_metric(finished_grid())
    assert {trace.name for trace in figure.data if trace.name} == {"SGD", "AdamW"}
    [figure] = draw_metric(finished_grid(**{"schedule.name": ("cosine", "constant", "linear")}))
    assert [annotation.text for annotation in figure.layout.annotations] == ["SGD", "AdamW"]
    assert {trace.name for trace in figure.data if trace.name} == {
        "schedule cosine",
        "schedule constant",
        "schedule linear",
    }
    seeds = [trace for trace in figure.data if trace.mode == "markers"]
    assert [len(trace.x) for trace in seeds] == [6] * 6


def test_each_optimizer_and_rate_has_its_learning_rate_drawn() -> None:
    [figure] = draw_schedules(finished_grid())
    assert [trace.name for trace in figure.data] == ["SGD", "AdamW"]
    tuned = finished_grid(**{"optimizer.lr": (0.1, 0.2), "schedule.name": ("cosine", "constant")})
    [figure] = draw_schedules(tuned)
    names = [trace.name.replace("<br>", " ") for trace in figure.data]
    assert len(names) == len(set(names)) == 8
    assert "SGD, learning rate 0.1, schedule cosine" in names
    assert figure.data[0].y[0] == pytest.approx(0.9), "absolute, as logged"


def test_without_a_difference_no_learning_rate_is_drawn() -> None:
    assert draw_schedules(finished_grid(**{"optimizer.name": ("sgd",)})) == []
