"""The next trial of a worker: prepared once, taken once, dropped where another one comes."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.training import fine_tune, preparation
from revit.training.prediction_file import read_predictions
from study.execution.next_trial import NextTrial, ReadyTrial
from study.layout import ARTIFACTS, PREDICTIONS
from tests.study.execution.tasks import task_of, train


def task(identity: str) -> Any:
    return SimpleNamespace(identity=identity)


def test_the_trial_that_was_prepared_is_taken_once() -> None:
    prepared: list[str] = []

    def prepare(task: Any) -> ReadyTrial:
        prepared.append(threading.current_thread().name)
        return ReadyTrial(task.identity, None)

    following = NextTrial(prepare)
    assert following.take(task("a")) is None, "nothing is prepared yet"
    following.begin(task("a"))
    assert following.take(task("a")).data == "a"
    assert following.take(task("a")) is None
    assert len(prepared) == 1
    assert prepared[0] != threading.current_thread().name


def test_another_trial_drops_what_was_prepared() -> None:
    following = NextTrial(lambda task: ReadyTrial(task.identity, None))
    following.begin(task("a"))
    assert following.take(task("b")) is None
    assert following.take(task("a")) is None


def test_a_preparation_that_fails_is_left_to_the_trial(tmp_path: Path) -> None:
    def fail(task: Any) -> ReadyTrial:
        raise InputError("no weights")

    following = NextTrial(fail)
    following.begin(task("a"))
    assert following.take(task("a")) is None


def test_a_worker_prepares_its_next_trial_while_it_trains_and_trains_it_with_the_same_numbers(
    small: FineTuneConfig, digits: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[tuple[str, bool]] = []

    def count(module: Any, *, is_ahead: bool) -> None:
        build = module.build_model

        def counted(config: FineTuneConfig, *arguments: Any) -> Any:
            built.append((config.optimizer.name, is_ahead))
            return build(config, *arguments)

        monkeypatch.setattr(module, "build_model", counted)

    count(fine_tune, is_ahead=False)
    count(preparation, is_ahead=True)
    monkeypatch.setattr(tune, "report", lambda report: None)
    config = small.with_values({"optimizer.name": "adam"})
    following = task_of(config, digits, tmp_path / "following", identity="following")
    alone = task_of(config, digits, tmp_path / "alone", identity="alone")
    train(task_of(small, digits, tmp_path / "first", identity="first", following=following))
    train(following)
    assert built == [("sgd", False), ("adam", True)]
    train(alone)
    assert built[2:] == [("adam", False)]
    found, expected = (
        read_predictions(tmp_path / task.work / ARTIFACTS / PREDICTIONS).confidence for task in (following, alone)
    )
    assert (found == expected).all()
