"""Figures that a study's searches allow."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.report.figures import draw_figure, draw_figures
from study.report.finished_study import FinishedStudy
from study.report.search_figures import draw_searches
from study.report.setting_words import WORDS
from study.search.optuna_study import importances, rebuild
from tests.study.searched_study import SPACE, at_best_lr, make_planner, searched_plan


def outcome(config: FineTuneConfig) -> tuple[TrialState, Mapping[str, float]]:
    state, metrics = at_best_lr(3e-3)(config)
    state = TrialState.DIVERGED if config.optimizer.lr > 0.05 else state
    return state, {**metrics, "train_time_s": 100 * config.optimizer.lr}


@pytest.fixture
def draw(tmp_path: Path, cache_dir: Path) -> object:
    def of(space: SearchSpace = SPACE, num_points: int | None = None) -> tuple[FinishedStudy, dict[str, object]]:
        plan = searched_plan(make_planner(tmp_path, cache_dir, space), outcome, num_points)
        study = FinishedStudy(plan, Ledger(tmp_path / "mlruns"), ())
        return study, {figure.layout.meta["title"]: figure for figure in draw_searches(study)}

    return of


def test_each_axis_has_a_slice_and_two_of_them_importances(draw: object) -> None:
    study, figures = draw()
    assert list(figures) == [
        "Search: validation accuracy by number of points",
        "Search: validation accuracy by learning rate",
        "Search: validation accuracy by weight decay",
        "Search: importance of hyperparameters",
    ]
    [bars] = figures["Search: importance of hyperparameters"].data
    assert bars.name == "AdamW", "sgd has one axis"
    adamw = study.plan.searches[1]
    shares = importances(rebuild(adamw.cell.axes, adamw.history, [1]))
    assert dict(zip(bars.y, bars.x, strict=True)) == pytest.approx(
        {WORDS[axis].title: 100 * share for axis, share in shares.items()}
    )


def test_a_slice_shows_the_points_of_the_searches(draw: object) -> None:
    study, figures = draw()
    for trace, search in zip(
        figures["Search: validation accuracy by learning rate"].data, study.plan.searches, strict=True
    ):
        finished = [point for point in search.points if point.state == TrialState.FINISHED]
        assert list(trace.x) == pytest.approx([point.values["optimizer.lr"] for point in finished])
        assert list(trace.y) == pytest.approx([100 * point.value("accuracy") for point in finished])
        [ringed] = [x for x, width in zip(trace.x, trace.marker.line.width, strict=True) if width]
        assert ringed == pytest.approx(search.chosen["optimizer.lr"])


def test_two_objectives_have_a_front(draw: object) -> None:
    search = Search(sampler="tpe", num_trials=8, objectives=("accuracy", "train_time_s"))
    study, figures = draw(replace(SPACE, search=search))
    front = figures["Search: Pareto front of validation accuracy and training time"]
    assert {trace.name for trace in front.data if trace.mode == "lines+markers"} == set(study.colors)
    assert "biased" in figures["Search: importance of hyperparameters"].layout.meta["caption"]


def test_searches_are_drawn_before_a_trial_is_tested(draw: object) -> None:
    study, figures = draw(num_points=4)
    assert len(figures) == 4
    assert [figure.layout.meta["title"] for figure in draw_figures(study)] == list(figures)


def test_without_points_there_is_nothing_to_draw(draw: object) -> None:
    study, figures = draw(num_points=0)
    assert not figures
    with pytest.raises(InputError, match="searched has no cell with a finished trial"):
        draw_figure(study)
    assert not draw(replace(SPACE, nuisance={}, search=Search()))[1]


def test_an_axis_of_names_or_of_numbers_is_drawn_as_such(draw: object) -> None:
    nuisance = {
        "schedule.name": ("cosine", "linear"),
        "optimizer.max_grad_norm": (None, 1.0),
        "optimizer.lr": (0.01, 0.1),
    }
    _, figures = draw(replace(SPACE, nuisance=nuisance, search=Search()))
    kinds = {title.partition(" by ")[2]: figure.layout.xaxis.type for title, figure in figures.items()}
    assert kinds["schedule"] == kinds[WORDS["optimizer.max_grad_norm"].title] == "category"
    assert kinds["learning rate"] == "log"
