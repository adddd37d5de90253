"""The source of trials, on a real plan with real locks. The ledger is a fake."""

import errno
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from revit.config import FineTuneConfig
from study.execution.searcher import TrialSearcher
from study.forecast.queue import SearchTurn
from study.ledger.locks import Locks
from study.ledger.states import TrialState
from tests.study.execution.fake_launch import SHARED, SPACE, WHOLE

LENGTHS = (300, 500, 100, 400, 200)
SMALL = FineTuneConfig(dataset="digits", resolution=8, num_evals=1, steps=100)
DIFFERENT = replace(SPACE, scientific={"steps": LENGTHS}, base=SMALL)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of the thread are waited for, and polls are not."""
    monkeypatch.setattr("study.execution.searcher.LOCK_WAIT_S", 20.0)
    monkeypatch.setattr("study.execution.searcher.IDLE_WAIT_S", 20.0)
    monkeypatch.setattr("study.execution.searcher.LOCK_POLL_S", 0.0)


class FakeAsker:
    """A search that returns trials when it is asked. It takes longer than any trial."""

    def __init__(self, launch: Any, *answers: list[Any]) -> None:
        self.answers = list(answers)
        self.num_unknown, self.num_asked = 5, 0
        self._trial = launch.plans[0].trials[0]
        launch.searcher._askers, launch.searcher._num_unknown = {"example": self}, {"example": 5}

    def turns(self) -> list[SearchTurn]:
        return [SearchTurn(study="example", cell="", tested=self._trial, num_in_row=9, num_points=0)]

    def refresh(self) -> bool:
        return True

    def find_pruner(self, trial: object) -> None:
        return None

    def ask(self, turn: object, busy: object) -> list[Any]:
        self.num_asked += 1
        return self.answers.pop(0) if self.answers else []


def test_the_longest_trial_is_suggested_first_and_one_waits_beyond_those_that_run(
    make_launch: Any, no_waiting: None
) -> None:
    launch = make_launch(SHARED, DIFFERENT)
    running = [launch.start(), launch.start()]
    waiting = launch.searcher.suggest("")
    assert launch.searcher.suggest("") is None, "one waits in Tune already"
    launch.searcher.end_trial(running[0].config["task"].identity)
    assert launch.searcher.suggest("") is None, "it has the GPU that is free now"
    launch.searcher.start_trial(waiting["task"].identity)
    tasks = [*(trial.config["task"] for trial in running), waiting["task"], launch.searcher.suggest("")["task"]]
    assert [task.config["steps"] for task in tasks] == [500, 400, 300, 200]


def test_tune_gets_at_first_as_many_as_can_run(make_launch: Any, no_waiting: None) -> None:
    """Their workers start at the same time."""
    launch = make_launch(SHARED, DIFFERENT)
    assert [launch.searcher.suggest("") is None for _ in range(3)] == [False, False, True]


def test_none_passes_a_trial_that_waits_for_its_node(make_launch: Any, no_waiting: None) -> None:
    launch = make_launch(SHARED, DIFFERENT)
    first, second = (launch.start().config["task"].identity for _ in range(2))
    assert launch.searcher.requeue_exclusively(first)
    task = launch.searcher.suggest("")["task"]
    assert (task.identity, task.grant) == (first, SHARED.exclusive())
    launch.searcher.end_trial(second)
    assert launch.searcher.suggest("") is None, "three wait, and one could run beside it"
    launch.searcher.start_trial(first)
    assert launch.searcher.suggest("")["task"].config["steps"] == 300


def test_trials_that_ended_correct_the_order_of_others(make_launch: Any, no_waiting: None) -> None:
    launch = make_launch(WHOLE, replace(SPACE, scientific={"resolution": (8, 16), "steps": (100, 200)}, base=SMALL))
    first = launch.start()
    config = first.config["task"].config
    assert (config["resolution"], config["steps"]) == (16, 200)
    tags = {"device": "gpu", "built": "digest"}
    row = {"step": 200, "train_time_s": 1e-9}
    launch.callback.on_trial_result(0, [], first, {"tags": tags})
    launch.callback.on_trial_result(0, [], first, {"rows": [row], "is_replay": False, "state": TrialState.FINISHED})
    launch.searcher.measure_trial(launch.plans[0].to_run[0].identity, 100, 1e6, "gpu")
    task = launch.start().config["task"]
    assert (task.config["resolution"], task.config["steps"]) == (8, 200), "not the larger one with fewer steps"


def test_a_search_is_asked_in_its_turn_once_a_trial_could_run(make_launch: Any, no_waiting: None) -> None:
    launch = make_launch(SHARED, DIFFERENT)
    running = [launch.start().config["task"].identity for _ in range(2)]
    third = launch.searcher._queue.trials[-1]
    launch.searcher._queue.discard([third.identity])
    asker = FakeAsker(launch, [third])
    assert launch.searcher.suggest("") is None, "none is handed out before it"
    assert asker.num_asked == 0
    launch.searcher.end_trial(running[0])
    assert launch.start().config["task"].config["steps"] == 300
    launch.searcher.end_trial(running[1])
    assert asker.answers == []


def test_a_search_that_awaits_results_is_passed_until_a_trial_has_ended(make_launch: Any, no_waiting: None) -> None:
    launch = make_launch(replace(SHARED, max_concurrent_trials=4), DIFFERENT)
    asker = FakeAsker(launch)
    first, second, third = (launch.start().config["task"] for _ in range(3))
    assert [task.config["steps"] for task in (first, second, third)] == [500, 400, 300]
    assert asker.answers == []
    launch.searcher.end_trial(first.identity)
    launch.start()
    assert asker.num_asked == 2


@pytest.mark.parametrize("awaits", ["a search trial that runs", "results that are written"])
def test_a_search_that_awaits_results_keeps_that_of_another_study_not_waiting(
    make_launch: Any, no_waiting: None, awaits: str
) -> None:
    launch = make_launch(SHARED, DIFFERENT)
    first = launch.start().config["task"].identity
    others = launch.searcher._queue.trials
    launch.searcher._queue.discard([trial.identity for trial in others])
    waiting, ready = FakeAsker(launch), FakeAsker(launch, [others[0]])
    waiting.refresh = lambda: awaits != "results that are written"
    waiting.turns = lambda: [replace(FakeAsker.turns(waiting)[0], study="other", num_in_row=99)]
    launch.searcher._askers = {"other": waiting, "example": ready}
    assert launch.start().config["task"].identity == others[0].identity
    assert (waiting.answers, ready.answers) == ([], [])
    assert waiting.num_asked == (awaits != "results that are written")
    assert first in launch.searcher._running


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


def test_a_task_is_too_large_once_no_node_has_its_size(make_launch: Any) -> None:
    launch = make_launch(SHARED)
    identity = launch.start().config["task"].identity
    assert launch.searcher.requeue_exclusively(identity)
    exclusive, shared = launch.start().config["task"], launch.start().config["task"]
    packed = replace(shared, grant=replace(SHARED, num_workers=2))
    for smaller, expected in (
        (replace(SHARED, max_cpus=16), [False, False, False]),
        (replace(SHARED, max_cpus=6), [True, False, False]),
        (replace(SHARED, on_one_node=False, num_workers=2), [True, True, True]),
    ):
        launch.searcher.use_grant(smaller)
        assert [launch.searcher.is_too_large(task) for task in (exclusive, shared, packed)] == expected


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
    tested = searcher._queue.trials[-1]
    searcher._queue.discard(launch.identities)
    turn = SearchTurn(study="example", cell="", tested=tested, num_in_row=1, num_points=0)

    def ask(turn: object, busy: object) -> list[object]:
        asker.num_unknown = 0
        may_return.wait(30)
        return [tested]

    asker = SimpleNamespace(
        num_unknown=1, turns=lambda: [turn], refresh=lambda: True, ask=ask, find_pruner=lambda trial: None
    )
    searcher._askers, searcher._num_unknown = {"example": asker}, {"example": 1}
    while asker.num_unknown:
        assert searcher.suggest("") is None
    assert [searcher.suggest("") for _ in range(3)] == [None] * 3
    may_return.set()
    assert launch.start().config["task"].identity == tested.identity


@pytest.mark.parametrize("num_slots", [1, 2])
def test_a_task_on_a_gpu_names_the_one_that_its_slot_has_next_where_trials_take_equally_long(
    make_launch: Any, num_slots: int
) -> None:
    grant = replace(WHOLE, max_concurrent_trials=num_slots)
    launch = make_launch(grant, replace(SPACE, scientific={"optimizer.lr": (0.1, 0.2, 0.3, 0.4)}))
    running = [launch.start() for _ in range(num_slots)]
    tasks = [trial.config["task"] for trial in running]
    while running:
        launch.searcher.end_trial(running.pop(0).config["task"].identity)
        if launch.searcher._queue.trials:
            running.append(launch.start())
            tasks.append(running[-1].config["task"])
    assert len(tasks) == 4
    for task, following in zip(tasks, tasks[num_slots:], strict=False):
        assert task.following == replace(following, following=None)
    assert [task.following for task in tasks[-num_slots:]] == [None] * num_slots


def test_a_task_on_a_cpu_prepares_no_other(make_launch: Any) -> None:
    launch = make_launch(replace(WHOLE, num_gpus=0))
    assert launch.start().config["task"].following is None


def test_a_trial_that_runs_alone_since_memory_was_short_prepares_no_other(make_launch: Any) -> None:
    launch = make_launch(SHARED, replace(SPACE, scientific={"optimizer.lr": (0.1, 0.2, 0.3, 0.4)}))
    first = launch.start().config["task"]
    assert first.following is not None
    assert launch.searcher.requeue_exclusively(first.identity)
    again = launch.start().config["task"]
    assert (again.identity, again.following) == (first.identity, None)
