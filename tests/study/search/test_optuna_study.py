import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

import optuna
import pytest
import torch
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study

from search_spaces.framework.axes import NuisanceAxis
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range
from study.ledger.states import TrialState
from study.search.optuna_study import OPTUNA_STATES, asked_points, importances, rebuild
from study.search.past_point import PastPoint

AXES: Mapping[str, NuisanceAxis] = {
    "lr": Range(1e-5, 1e-1, log=True),
    "warmup": Range(0, 500, integer=True),
    "optimizer": {"sgd": {}, "adamw": {}},
    "decay": Range(1e-3, 0.3, log=True, when={"optimizer": "adamw"}),
}
SGD: Mapping[str, Value] = {"lr": 0.01, "warmup": 7, "optimizer": "sgd"}
ADAMW: Mapping[str, Value] = {"lr": 0.001, "warmup": 0, "optimizer": "adamw", "decay": 0.1}
HISTORY = [
    PastPoint(number=1, values=ADAMW, state=TrialState.PRUNED, curve={10: 40.0, 20: 50.0}),
    PastPoint(number=0, values=SGD, state=TrialState.FINISHED, objectives=(71.0,), curve={10: 30.0}),
    PastPoint(number=2, values={**SGD, "lr": 0.1}, state=TrialState.DIVERGED),
    PastPoint(number=3, values={**SGD, "lr": 0.02}, state=TrialState.FAILED),
    PastPoint(number=4, values={**SGD, "lr": 0.03}, state=TrialState.RUNNING, curve={10: 1.0}),
    PastPoint(number=5, values={**SGD, "lr": 0.04}, state=TrialState.INTERRUPTED),
    PastPoint(number=6, values={**SGD, "lr": 0.05}, state=TrialState.NEW),
    PastPoint(number=7, values={**SGD, "lr": 0.06}, state=TrialState.FINISHED, objectives=(float("nan"),)),
]
STATES = ["COMPLETE", "PRUNED", "FAIL", "FAIL", "RUNNING", "RUNNING", "RUNNING", "FAIL"]


def test_a_trial_for_each_point_in_the_order_of_numbers() -> None:
    study = rebuild(AXES, HISTORY, (1,))
    assert [trial.state.name for trial in study.trials] == STATES
    assert [trial.params for trial in study.trials[:2]] == [SGD, ADAMW]
    assert (study.best_value, study.best_params) == (71.0, SGD)
    assert study.trials[1].intermediate_values == {10: 40.0, 20: 50.0}


@pytest.mark.parametrize("signs", [(1,), (-1,), (1, -1)])
def test_directions_are_those_of_the_objectives(signs: tuple[int, ...]) -> None:
    history = [
        PastPoint(number=i, values={**SGD, "warmup": i}, state=TrialState.FINISHED, objectives=(i, i)[: len(signs)])
        for i in range(3)
    ]
    study = rebuild(AXES, history, signs)
    assert [direction.name for direction in study.directions] == [
        "MAXIMIZE" if sign > 0 else "MINIMIZE" for sign in signs
    ]


def test_a_storage_has_the_same_trials(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "journal.log")
    rebuild(AXES, HISTORY, (1,), storage=JournalStorage(JournalFileBackend(path)), study_name="cell")
    read = optuna.load_study(study_name="cell", storage=JournalStorage(JournalFileBackend(path)))
    for written, kept in zip(read.trials, rebuild(AXES, HISTORY, (1,)).trials, strict=True):
        assert (written.number, written.state, written.params) == (kept.number, kept.state, kept.params)
        assert (written.values, written.intermediate_values) == (kept.values, kept.intermediate_values)
        assert written.distributions == kept.distributions
    assert capfd.readouterr() == ("", "")


def _living(history: Sequence[PastPoint], directions: list[str]) -> Study:
    """Return the study of a driver that asked for the same points, and has reported what came of them."""
    study = optuna.create_study(directions=directions, sampler=RandomSampler(seed=0))
    for past in sorted(history, key=lambda past: past.number):
        study.enqueue_trial(dict(past.values))
        trial = study.ask()
        _define_by_run(trial)
        for step, value in past.curve.items():
            trial.report(value, step)
        state = OPTUNA_STATES.get(past.state)
        if state is not None:
            study.tell(trial, past.objectives or None, state)
    return study


def _optuna_sampler(name: Literal["tpe", "gp"], seed: int) -> BaseSampler:
    return TPESampler(seed=seed) if name == "tpe" else GPSampler(seed=seed, warn_independent_sampling=False)


def _define_by_run(trial: optuna.Trial) -> dict[str, Value]:
    trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    trial.suggest_int("warmup", 0, 500)
    if trial.suggest_categorical("optimizer", ["sgd", "adamw"]) == "adamw":
        trial.suggest_float("decay", 1e-3, 0.3, log=True)
    return trial.params


def _drawn_history(num: int, num_objectives: int) -> list[PastPoint]:
    draw = random.Random(0)
    history = []
    for number in range(num):
        optimizer = draw.choice(["sgd", "adamw"])
        values: dict[str, Value] = {"lr": round(10 ** draw.uniform(-5, -1), 6), "warmup": draw.randint(0, 500)}
        values |= {"optimizer": optimizer} | ({"decay": draw.uniform(1e-3, 0.3)} if optimizer == "adamw" else {})
        pruned = TrialState.PRUNED if num_objectives == 1 else TrialState.DIVERGED
        state = [TrialState.FINISHED] * 5 + [pruned, TrialState.FAILED, TrialState.RUNNING]
        past = PastPoint(number=number, values=values, state=state[number % len(state)], curve={1: draw.random()})
        if past.state is TrialState.FINISHED:
            past = replace(past, objectives=tuple(draw.random() for _ in range(num_objectives)))
        history.append(past if num_objectives == 1 else replace(past, curve={}))
    return history


@pytest.mark.parametrize(
    ("sampler", "signs"),
    [("tpe", (1,)), ("tpe", (-1, 1)), pytest.param("gp", (1,), marks=pytest.mark.long), ("gp", (-1, 1))],
)
def test_a_rebuilt_study_asks_as_a_living_one_does(sampler: Literal["tpe", "gp"], signs: tuple[int, ...]) -> None:
    history = _drawn_history(24, len(signs))
    living = _living(history, ["maximize" if sign > 0 else "minimize" for sign in signs])
    living.sampler = _optuna_sampler(sampler, seed=5)
    asked = asked_points(sampler, AXES, history, signs, seed=5, fixed={})
    for expected, found in zip((_define_by_run(living.ask()) for _ in range(2)), asked, strict=False):
        ranges = {name: axis for name, axis in AXES.items() if isinstance(axis, Range)}
        assert found == {name: ranges[name].round(v) if name in ranges else v for name, v in expected.items()}


@pytest.mark.parametrize(
    ("sampler", "num_repeats"),
    [("tpe", 16), pytest.param("gp", 5, marks=(pytest.mark.long, pytest.mark.timeout(1200)))],
)
def test_rebuilding_finds_points_as_good_as_a_living_study(sampler: Literal["tpe", "gp"], num_repeats: int) -> None:
    """The best of 24 points, over repeats: sampling anew at each request costs nothing."""
    rebuilt, living = [], []
    for repeat in range(num_repeats):
        history: list[PastPoint] = []
        for number in range(24):
            point = next(asked_points(sampler, AXES, history, (1,), seed=100 * repeat + number, fixed={}))
            objectives = (_accuracy(point),)
            history.append(PastPoint(number=number, values=point, state=TrialState.FINISHED, objectives=objectives))
        rebuilt.append(max(past.objectives[0] for past in history))
        study = optuna.create_study(direction="maximize", sampler=_optuna_sampler(sampler, seed=repeat))
        study.optimize(lambda trial: _accuracy(_define_by_run(trial)), n_trials=24)
        living.append(study.best_value)
    error = math.hypot(stdev(rebuilt), stdev(living)) / math.sqrt(num_repeats)
    assert fmean(rebuilt) == pytest.approx(fmean(living), abs=2 * error)
    assert error < 1.5  # of a range of 40


def _accuracy(point: Mapping[str, Any]) -> float:
    """Best at lr = .003 and decay = .03, with adamw."""
    distance = abs(math.log10(point["lr"] / 0.003))
    distance += abs(math.log10(point["decay"] / 0.03)) / 2 if "decay" in point else 0.4
    return 90 - 10 * distance


def test_the_threads_of_torch_are_as_before() -> None:
    history = [past for past in _drawn_history(24, 1) if past.state is TrialState.FINISHED]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        next(asked_points("gp", AXES, history, (1,), seed=0, fixed={}))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_importances_find_the_axis_that_matters() -> None:
    history = [
        PastPoint(
            number=i,
            values={"lr": 0.01, "warmup": (i * 37) % 101, "optimizer": ("sgd", "adamw")[i % 2]},
            state=TrialState.FINISHED,
            objectives=(10.0 * (i % 2) + 0.01 * ((i * 37) % 101), float(i)),
        )
        for i in range(40)
    ]
    found = importances(rebuild(AXES, history, (1, -1)))
    assert found is not None
    assert list(found) == ["optimizer", "warmup"]  # lr has one value
    assert found["optimizer"] > 0.9
    assert sum(found.values()) == pytest.approx(1)
    assert importances(rebuild(AXES, history, (1, -1))) == found


@pytest.mark.parametrize("values", [[], [1.0, 2.0, 3.0], [5.0] * 9])
def test_no_importances_of_too_few_points_or_of_equal_ones(values: list[float]) -> None:
    history = [
        PastPoint(number=i, values={**SGD, "warmup": i}, state=TrialState.FINISHED, objectives=(value,))
        for i, value in enumerate(values)
    ]
    assert importances(rebuild(AXES, history, (1,))) is None


def test_no_importances_where_no_axis_of_all_points_differs() -> None:
    points = [*({**ADAMW, "decay": 0.1 + i / 100} for i in range(5)), {"lr": ADAMW["lr"], "warmup": 0}]
    history = [
        PastPoint(number=i, values=values, state=TrialState.FINISHED, objectives=(float(i),))
        for i, values in enumerate(points)
    ]
    assert importances(rebuild(AXES, history, (1,))) is None
