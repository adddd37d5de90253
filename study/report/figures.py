"""Figures of a study's report: a table of functions, each of which draws what the study allows."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pandas as pd
import plotly.graph_objects as go

from revit.config import FineTuneConfig
from revit.errors import InputError
from study.ledger.schema import (
    DEVICE_TAG,
    LEARNING_RATE,
    TEST_CURVE_ACCURACY,
    TRAIN_LOSS,
    TRAIN_TIME_S,
    VAL_ACCURACY,
    value_name,
)
from study.report.axis_words import cell_title
from study.report.effect_figures import draw_cells, draw_effects
from study.report.finished_study import MIN_GRID_AXES, FinishedStudy, cell_name, run_id
from study.report.image_figures import draw_answers, draw_model_internals, draw_samples
from study.report.plots.along_axis import plot_metric
from study.report.plots.curves import plot_learning_curves, plot_published_curves, plot_schedules
from study.report.plots.grids import plot_interaction, plot_main_effects, plot_parallel_coordinates
from study.report.plots.training_time import plot_training_time
from study.report.search_figures import draw_searches
from study.trial import Trial

Figure: TypeAlias = go.Figure

MAX_LINES, MAX_PANELS = 4, 4
"""Lines of a panel from which on there are several panels, and the largest number of these."""
MAX_INTERACTIONS = 2
"""Interactions that are drawn, the strongest first."""


def draw_figures(study: FinishedStudy) -> list[go.Figure]:
    """Return every figure that the study's claims, axes, searches and finished trials allow."""
    return list(_draw(study))


def _draw(study: FinishedStudy) -> Iterator[go.Figure]:
    """Yield the figures of a study; before a trial has been tested, those of its searches."""
    for draw in FIGURES if study.trials else (draw_searches,):
        yield from draw(study)


def draw_figure(study: FinishedStudy, title: str = "") -> Figure:
    """Return the first figure whose title contains a text; figures after it are not drawn.

    Raises:
        InputError: no trial has finished, or no title contains the text.
    """
    titles = []
    for figure in _draw(study):
        titles.append(figure.layout.meta["title"])
        if title.lower() in titles[-1].lower():
            return figure
    name = study.plan.space.name
    if not titles:
        raise InputError(f"{name} has no cell with a finished trial: run it first")
    raise InputError(f"{name} has no figure with the title {title!r}; it has: {'; '.join(titles)}")


def draw_metric(study: FinishedStudy) -> list[go.Figure]:
    """Draw the metric along every numeric axis, a line for each combination of the others."""
    return [_draw_metric_along(study, axis) for axis in study.numeric_axes]


def _draw_metric_along(study: FinishedStudy, axis: str) -> go.Figure:
    """Draw the metric along an axis; of many lines, in a panel for each value of another axis."""
    others = [name for name in study.plan.space.scientific if name != axis]
    is_many = len(study.cells[others].map(str).drop_duplicates()) > MAX_LINES if others else False
    panels = [name for name in others if 2 <= study.cells[name].map(str).nunique() <= MAX_PANELS][:1] if is_many else []

    def place(rows: pd.DataFrame) -> pd.DataFrame:
        cells = rows[[axis, *others]].to_dict("records")
        series = [name for name in others if name not in panels]
        return rows.assign(
            panel=[cell_title({name: cell[name] for name in panels}) for cell in cells],
            series=[cell_title({name: cell[name] for name in series}) for cell in cells],
        )

    value = study.finished[value_name(study.plan.space.metric)]
    return plot_metric(place(_values(study)), place(study.finished.assign(value=value)), axis, study.metric)


def _values(study: FinishedStudy) -> pd.DataFrame:
    """Return our cells, and the published values of the same cells at their scale, where they are comparable."""
    plan = study.plan
    candidates = {str(trial.candidate.cell): trial.candidate for trial in plan.trials}.values()
    published = [
        {**each.cell, "mean": row.value / 100, "source": row.source or "paper"}
        for each in (candidates if plan.space.scale == "paper" else ())
        for row in plan.space.published(each)
    ]
    return pd.concat([study.cells[study.cells["n"] > 0].assign(source=""), pd.DataFrame(published, dtype=object)])


def draw_learning_curves(study: FinishedStudy) -> list[go.Figure]:
    """Draw the curves of the accuracies that were measured during training, and of the training loss."""
    measured = {name for trial in study.trials if trial.record is not None for name in trial.record.metrics}
    metrics = [name for name in (VAL_ACCURACY, TEST_CURVE_ACCURACY) if name in measured]
    return [
        plot_learning_curves(study.curves(name), name, study.colors, study.metric) for name in (*metrics, TRAIN_LOSS)
    ]


def draw_schedules(study: FinishedStudy) -> list[go.Figure]:
    """Draw the learning rate of the first trial with each schedule, optimizer and rate, where these differ."""
    settings = {trial.identity: _rate_settings(trial.candidate.config) for trial in study.trials}
    varied = [
        name for name in next(iter(settings.values())) if len({str(each[name]) for each in settings.values()}) > 1
    ]
    if not varied:
        return []

    def line_name(trial: Trial) -> str:
        return cell_title({name: settings[trial.identity][name] for name in varied})

    rows = [
        (name, step, rate)
        for name, trial in study.first_trials(line_name).items()
        for step, rate in study.ledger.curve(run_id(trial), LEARNING_RATE)
    ]
    return [plot_schedules(pd.DataFrame(rows, columns=["schedule", "step", "lr"]))] if rows else []


def _rate_settings(config: FineTuneConfig) -> dict[str, Any]:
    """Return the fields that decide the learning rate of each step, by their paths."""
    fields = config.flat()
    return {
        name: value
        for name, value in fields.items()
        if name in ("optimizer.name", "optimizer.lr") or name.startswith("schedule.")
    }


def draw_published_curves(study: FinishedStudy) -> list[go.Figure]:
    """Draw test accuracy by epoch over the published curves of the same cells."""
    space = study.plan.space
    trials = [trial for trial in study.trials if space.published_curve(trial.candidate)]
    ours = [
        (cell_name(trial), config.seed, step * config.epochs / trial.num_steps, accuracy)
        for trial in trials
        for config in (trial.candidate.config,)
        if config.epochs is not None
        for step, accuracy in study.ledger.curve(run_id(trial), TEST_CURVE_ACCURACY)
    ]
    if not ours:
        return []
    theirs = [
        (cell, ", ".join(filter(None, [row.source or "paper", row.note])), row.epoch, row.value / 100)
        for cell, candidate in {cell_name(trial): trial.candidate for trial in trials}.items()
        for row in space.published_curve(candidate)
    ]
    curves = pd.DataFrame(ours, columns=["cell", "seed", "epoch", TEST_CURVE_ACCURACY])
    published = pd.DataFrame(theirs, columns=["cell", "run", "epoch", TEST_CURVE_ACCURACY])
    return [plot_published_curves(curves, published, study.colors)]


def draw_grid(study: FinishedStudy) -> list[go.Figure]:
    """Draw every trial of a crossed grid, its main effects, and its strongest interactions."""
    axes = list(study.plan.space.scientific)
    if len(axes) < MIN_GRID_AXES:
        return []
    finished = study.finished
    name = study.plan.space.metric
    figures = [plot_parallel_coordinates(finished, axes, name), plot_main_effects(finished, axes, name)]
    pairs = {f"{one} x {other}": (one, other) for one, other in itertools.combinations(axes, 2)}
    interactions = [pairs[term] for term in study.anova.get("term", ()) if term in pairs]
    for one, other in interactions[:MAX_INTERACTIONS]:
        others = [axis for axis in axes if axis not in (one, other)]
        figures.append(plot_interaction(finished, one, other, others, name))
    return figures


def draw_training_time(study: FinishedStudy) -> list[go.Figure]:
    """Draw mean training time and the metric of each cell; the Pareto frontier only of one kind of GPU."""
    name = value_name(study.plan.space.metric)
    if name == TRAIN_TIME_S:
        return []
    records = [(cell_name(trial), trial.record) for trial in study.trials if trial.record is not None]
    rows = [(cell, record.metrics[TRAIN_TIME_S], record.metrics[name]) for cell, record in records]
    columns = ["cell", TRAIN_TIME_S, "mean"]
    by_cell = pd.DataFrame(rows, columns=columns).groupby("cell", sort=False, as_index=False).mean()
    devices = {record.environment.get(DEVICE_TAG, "") for _, record in records}
    has_frontier = len(devices) == 1 and "cpu" not in devices
    return [plot_training_time(by_cell, study.colors, study.metric, has_frontier=has_frontier)]


FIGURES: tuple[Callable[[FinishedStudy], list[go.Figure]], ...] = (
    draw_effects,
    draw_cells,
    draw_metric,
    draw_learning_curves,
    draw_schedules,
    draw_published_curves,
    draw_grid,
    draw_training_time,
    draw_searches,
    draw_answers,
    draw_model_internals,
    draw_samples,
)
"""Figures in the order of the page; each function returns none, one or several."""
