from collections.abc import Mapping
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search_spaces.framework.axes import NuisanceAxis
from search_spaces.framework.claims import Value
from search_spaces.framework.ranges import Range
from study.ledger.states import TrialState
from study.search.optuna_study import importances, rebuild
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
