"""Figures of effects, or of cells with the seeds behind them."""

import math

import pandas as pd
import plotly.graph_objects as go

from revit.training.metrics import Metric
from search_spaces.framework.claims import InRange, Matches
from study.analysis.claim_samples import metric_of
from study.analysis.claim_tests import ClaimResult, effect_bounds
from study.analysis.effects import Effect, StudyEffects
from study.analysis.verdicts import ClaimVerdict
from study.ledger.schema import value_name
from study.report.axis_words import cell_title, value_title
from study.report.claim_list import effect_unit, format_claim
from study.report.finished_study import FinishedStudy, cell_name
from study.report.plots.forest import plot_forest
from study.report.plots.seed_strips import plot_cells

MAX_EFFECTS = 10
"""Effects of axes up to which all are drawn, and of which at most so many are."""
MAX_CELLS = 40
"""Cells up to which each is drawn in a row of its own."""


def draw_effects(study: FinishedStudy) -> list[go.Figure]:
    """Draw the effects of axes, then those of claims in the unit of the study, in the order of the table."""
    found = study.effects
    of_axes = [] if found is None else [_axis_effect(each, _group_name(found)) for each in _select_effects(found)]
    drawn = [each for each in study.verdicts if each.ours.effect is not None and _has_unit(each.ours, study.metric)]
    rows = [*of_axes, *(_claim_effect(each, study) for each in drawn)]
    return [plot_forest(pd.DataFrame(rows), study.metric)] if rows else []


def _select_effects(effects: StudyEffects) -> list[Effect]:
    """Return the effects of axes and their interactions; of many, the strongest of each axis, and of each real pair."""
    if len(effects.effects) <= MAX_EFFECTS:
        return [*effects.effects, *effects.simple]
    of_axes = [effects.of_axis(axis) for axis in effects.axes]
    pairs = dict.fromkeys((each.axis, each.moderator) for each in effects.effects if each.moderator and each.is_real)
    groups = [*of_axes, *(effects.of_pair(*pair) for pair in pairs)]
    strongest = [max(group, key=lambda each: (each.is_real, each.effect)) for group in groups if group]
    return strongest[:MAX_EFFECTS]


def _group_name(effects: StudyEffects) -> str:
    return "Axes" if len(effects.effects) <= MAX_EFFECTS else "Axes, the strongest of each"


def _axis_effect(effect: Effect, group: str) -> dict[str, object]:
    """Return a row of `plot_forest`."""
    text = f"{cell_title({effect.axis: effect.better})} less {value_title(effect.worse)}"
    if effect.moderator:
        text += f", {cell_title({effect.moderator: effect.larger})} less {value_title(effect.smaller)}"
    elif effect.where:
        text += f", with {cell_title(effect.where)}"
    return {
        "group": group,
        "text": text,
        "verdict": "" if effect.where else "real" if effect.is_real else "not decided",
        "effect": effect.effect,
        "low": _number(effect.low),
        "high": _number(effect.high),
        "published": math.nan,
        "bound_low": math.nan,
        "bound_high": math.nan,
    }


def _has_unit(result: ClaimResult, metric: Metric) -> bool:
    """Return whether a claim is about differences of the study's metric, which have one axis."""
    is_of_study = effect_unit(result, metric) == metric.difference_unit and metric_of(result.claim, metric) is metric
    return is_of_study and not isinstance(result.claim, InRange)


def _claim_effect(verdict: ClaimVerdict, study: FinishedStudy) -> dict[str, object]:
    """Return a row of `plot_forest`."""
    ours, published = verdict
    bounds = [bound for bound, _ in effect_bounds(ours.claim)]
    has_published = published is not None and not isinstance(ours.claim, Matches)
    return {
        "group": "Claims",
        "text": format_claim(ours, study.metric),
        "verdict": ours.verdict,
        "effect": ours.effect,
        "low": _number(ours.low),
        "high": _number(ours.high),
        "published": _number(published.effect) if published is not None and has_published else math.nan,
        "bound_low": min(bounds) or math.nan,
        "bound_high": max(bounds) or math.nan,
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def draw_cells(study: FinishedStudy) -> list[go.Figure]:
    """Draw every cell with its seeds, in a study without a numeric axis and of not too many cells."""
    cells = study.cells.assign(cell=study.cell_names)
    table = cells[cells["n"] > 0]
    if study.numeric_axes or len(table) > MAX_CELLS:
        return []
    value = value_name(study.plan.space.metric)
    seeds = [
        (cell_name(trial), trial.candidate.config.seed, trial.record.metrics[value])
        for trial in study.trials
        if trial.record is not None
    ]
    return [
        plot_cells(
            table,
            pd.DataFrame(seeds, columns=["cell", "seed", "value"]),
            pd.DataFrame(_published(study), columns=["cell", "source", "mean"]),
            study.colors,
            study.metric,
        )
    ]


def _published(study: FinishedStudy) -> list[tuple[str, str, float]]:
    """Return the published values of the cells, where they are comparable."""
    space = study.plan.space
    if space.scale != "paper":
        return []
    candidates = study.first_trials(cell_name)
    return [
        (str(name), row.source or "paper", row.value / 100)
        for name, trial in candidates.items()
        for row in space.published(trial.candidate)
    ]
