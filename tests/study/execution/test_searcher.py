"""The queue of trials, on a real plan with real locks. The ledger is a fake."""

import errno
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from study.execution.searcher import TrialSearcher
from study.ledger.locks import Locks
from study.ledger.states import TrialState
from tests.study.execution.fake_launch import SHARED, WHOLE


def test_each_trial_is_suggested_once_until_it_is_requeued(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    first, second = (launch.start().config["task"] for _ in range(2))
    assert {first.identity, second.identity} == set(launch.identities)
    assert first.grant == second.grant == SHARED
    launch.searcher.requeue_all()
    again = launch.start().config["task"]
    assert again.identity in launch.identities
    launch.searcher.end_trial(again.identity)
    last = launch.start().config["task"]
    assert {again.identity, last.identity} == set(launch.identities)
    launch.searcher.end_trial(last.identity)
    assert launch.searcher.num_left == 0
    assert launch.searcher.suggest("") == TrialSearcher.FINISHED


def test_only_shared_resources_can_be_made_exclusive_and_only_once(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    identity = launch.start().config["task"].identity
    assert launch.searcher.requeue_exclusively(identity)
    task = launch.start().config["task"]
    assert (task.identity, task.grant) == (identity, SHARED.exclusive())
    assert not launch.searcher.requeue_exclusively(identity)
    alone = make_launch(WHOLE)
    assert not alone.searcher.requeue_exclusively(alone.start().config["task"].identity)


def test_a_trial_that_another_launch_has_finished_is_not_suggested(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    done = launch.identities[0]
    record = SimpleNamespace(state=TrialState.FINISHED)
    launch.searcher._ledger.find = lambda identity: record if identity == done else None
    assert launch.start().config["task"].identity == launch.identities[1]
    assert launch.searcher.num_left == 1


def test_a_trial_that_another_launch_trains_is_not_suggested(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    other = Locks(launch.root / "locks")
    assert other.acquire(launch.identities[0])
    assert launch.start().config["task"].identity == launch.identities[1]
    assert launch.searcher.num_left == 2, "it waits for the other launch"


def test_tune_does_not_wait_for_a_slow_lock(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    is_answered = threading.Event()
    threads: list[str] = []

    def find(identity: str) -> None:
        threads.append(threading.current_thread().name)
        is_answered.wait()

    launch.searcher._ledger.find = find
    assert [launch.searcher.suggest("") for _ in range(3)] == [None, None, None]
    assert len(threads) == 1, "one attempt at a time"
    assert threads[0] != threading.current_thread().name
    is_answered.set()
    assert launch.start().config["task"].identity in launch.identities


def test_a_transient_error_of_the_store_is_retried_and_any_other_is_final(
    make_launch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.execution.searcher.LOCK_POLL_S", 0.0)
    launch = make_launch(SHARED)
    errors = iter([OSError(errno.ESTALE, "Stale file handle"), ValueError("no such run\nat all")])

    def find(identity: str) -> None:
        raise next(errors)

    launch.searcher._ledger.find = find
    while not launch.searcher.error:
        assert launch.searcher.suggest("") is None
    assert launch.searcher.error == "no trial can be started: no such run"
    assert next(errors, None) is None
    assert launch.searcher.num_left == 2, "no trial counts as ended"


def test_a_launch_does_not_end_while_a_search_hands_its_last_trials_out(
    make_launch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asker knows of no further trial before the searcher has got those that it returns."""
    monkeypatch.setattr("study.execution.searcher.IDLE_WAIT_S", 0.0)
    launch, may_return = make_launch(SHARED), threading.Event()
    searcher = launch.searcher
    tested = searcher._waiting.pop()
    searcher._waiting.clear()

    def ask(busy: object) -> list[object]:
        asker.num_unknown = 0
        may_return.wait(30)
        return [tested]

    asker = SimpleNamespace(num_unknown=1, ask=ask, find_pruner=lambda trial: None)
    searcher._askers, searcher._num_unknown = {"example": asker}, {"example": 1}
    while asker.num_unknown:
        assert searcher.suggest("") is None
    assert [searcher.suggest("") for _ in range(3)] == [None] * 3
    may_return.set()
    assert launch.start().config["task"].identity == tested.identity
