"""The Optuna study of a cell's search, rebuilt from its points."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, create_trial
from optuna.trial import TrialState as OptunaState

from search_spaces.framework.axes import NuisanceAxis, exists
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range
from study.ledger.states import TrialState
from study.search.past_point import PastPoint

OPTUNA_STATES: Mapping[TrialState, OptunaState] = {
    TrialState.FINISHED: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.DIVERGED: OptunaState.FAIL,
    TrialState.FAILED: OptunaState.FAIL,
}
"""State of an ended point in Optuna. A point in any other state is running, or still to run."""

MIN_COMPLETE = 4
"""Finished points from which on importances are computed."""


def rebuild(
    axes: Mapping[str, NuisanceAxis],
    history: Sequence[PastPoint],
    signs: Sequence[int],
    *,
    storage: BaseStorage | None = None,
    study_name: str | None = None,
) -> Study:
    """Return the Optuna study of a cell, with a trial for each point in the order of their numbers.

    Args:
        axes: nuisance axes of the cell.
        history: its points.
        signs: 1 for each objective of which more is better, -1 of which less is.
        storage: where its trials are written; None for memory.
        study_name: name of the study in the storage, which does not have it yet.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line for each new study otherwise
    directions = [StudyDirection.MAXIMIZE if sign > 0 else StudyDirection.MINIMIZE for sign in signs]
    study = optuna.create_study(storage=storage, study_name=study_name, directions=directions)
    study.add_trials([frozen_trial(past, axes) for past in sorted(history, key=lambda past: past.number)])
    return study


def _distribution(axis: NuisanceAxis) -> BaseDistribution:
    if not isinstance(axis, Range):
        return CategoricalDistribution(tuple(axis))
    if axis.integer:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def frozen_trial(past: PastPoint, axes: Mapping[str, NuisanceAxis]) -> FrozenTrial:
    """Return a point of a cell with these axes as a trial of Optuna."""
    state = OPTUNA_STATES.get(past.state, OptunaState.RUNNING)
    if state is OptunaState.COMPLETE and not all(map(math.isfinite, past.objectives)):
        state = OptunaState.FAIL
    return create_trial(
        state=state,
        values=past.objectives if state is OptunaState.COMPLETE else None,
        params=dict(past.values),
        distributions={name: _distribution(axes[name]) for name in past.values},
        intermediate_values=dict(past.curve),
    )


def asked_points(
    sampler: Literal["tpe", "gp"],
    axes: Mapping[str, NuisanceAxis],
    history: Sequence[PastPoint],
    signs: Sequence[int],
    *,
    seed: int,
    fixed: Mapping[str, Value],
) -> Iterator[dict[str, Value]]:
    """Yield points without end that Optuna proposes after those of the history.

    Each counts as running for those after it, so that a sampler goes on elsewhere where a point is not wanted.

    Args:
        sampler: Optuna's TPESampler or GPSampler. The latter draws axes that have a condition at random.
        axes, history, signs: see `rebuild`.
        seed: of the sampler, below 2 ** 32.
        fixed: values that are given.
    """
    study = rebuild(axes, history, signs)
    study.sampler = _tpe(seed) if sampler == "tpe" else _gp(seed)
    while True:
        if fixed:
            study.enqueue_trial(dict(fixed))
        yield {name: fixed.get(name, value) for name, value in _suggested(study.ask(), axes).items()}


def _tpe(seed: int) -> BaseSampler:
    return TPESampler(seed=seed)


def _gp(seed: int) -> BaseSampler:
    return GPSampler(seed=seed, warn_independent_sampling=False)


def _suggested(trial: Trial, axes: Mapping[str, NuisanceAxis]) -> dict[str, Value]:
    point: dict[str, Value] = {}
    for name, axis in axes.items():
        if exists(axis, point):
            point[name] = _suggest(trial, name, axis)
    return point


def _suggest(trial: Trial, name: str, axis: NuisanceAxis) -> Value:
    if not isinstance(axis, Range):
        return trial.suggest_categorical(name, tuple(axis))
    if axis.integer:
        return trial.suggest_int(name, int(axis.low), int(axis.high), log=axis.log)
    return axis.round(trial.suggest_float(name, axis.low, axis.high, log=axis.log))


def importances(study: Study) -> dict[str, float] | None:
    """Return the share of each axis in the variance of the first objective, the largest first; their sum is 1.

    Computed by fANOVA (Hutter et al. 2014), of axes that all finished points have, with two values or more. Where a
    sampler chose points by what was good before, it is biased.

    Returns:
        None where it cannot be computed: fewer than MIN_COMPLETE finished points, no such axis, or all points alike.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances  # scikit-learn: a second

    complete = study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
    axes = [name for name, values in _values_by_axis(complete).items() if len(set(values)) > 1]
    if len(complete) < MIN_COMPLETE or not axes:
        return None
    evaluator = FanovaImportanceEvaluator(seed=0)
    try:
        found = get_param_importances(study, evaluator=evaluator, params=axes, target=lambda trial: trial.values[0])
    except RuntimeError:  # all objectives are equal
        return None
    return {name: float(share) for name, share in found.items()}


def _values_by_axis(trials: Sequence[FrozenTrial]) -> dict[str, list[Value]]:
    names = [name for name in trials[0].params if all(name in trial.params for trial in trials)] if trials else []
    return {name: [trial.params[name] for trial in trials] for name in names}
