"""What is done about failures: real plan, queue and leases; what Tune, the recorder and the display do is played."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError

from revit.config import FineTuneConfig
from search_spaces.space import SearchSpace
from study.events import Events
from study.failures import MOST_LOST
from study.leases import Leases
from study.orders import Orders, Share
from study.plan import Folders, make_plan
from study.queueing import Queue, Stopper

SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=100),
    scientific={"optimizer.lr": (0.1, 0.2)},
    seeds=(0,),
)


class Played:
    """A launch on a GPU of which trials get a share, without Tune; it keeps what the recorder is told of ends."""

    def __init__(self, root: Path, cache_dir: Path, share: Share) -> None:
        self.root = root
        plan = make_plan(SPACE, SPACE.seeds, Folders(store=root, data=root, cache=cache_dir), {})
        orders = Orders(plan, share, root / "work", root / "stop")
        self.stopper = Stopper(SimpleNamespace(print=print), orders.stop_file)
        leases = Leases(root / "leases")
        self.queue = Queue(plan.to_run, orders, leases, SimpleNamespace(find=lambda identity: None), self.stopper)
        self.ended: list[dict[str, Any]] = []
        quiet = {name: lambda *_: None for name in ("started", "rows", "stepped", "resumed", "again")}
        recorder = SimpleNamespace(**quiet, ended=lambda identity, outcome, **told: self.ended.append(told))
        progress = SimpleNamespace(**quiet, ended=lambda *_: None)
        self.events = Events(recorder, progress, plan, self.queue, self.stopper, orders, leases)

    def start(self) -> Any:
        """Tune asks for a trial, and a worker begins it."""
        order = self.queue.suggest("")
        trial = SimpleNamespace(config=order, pickled_error_file=None, error_file=None)
        self.events.on_trial_start(0, [], trial)
        return trial

    def reach(self, trial: Any, step: int) -> None:
        self.events.on_trial_result(0, [], trial, {"rows": [{"step": step}], "repeated": False, "saved": False})

    def fail(self, trial: Any, error: BaseException) -> None:
        trial.pickled_error_file = self.root / "error.pkl"
        trial.pickled_error_file.write_bytes(pickle.dumps(error))
        self.events.on_trial_error(0, [], trial)


@pytest.fixture
def play(tmp_path: Path, cache_dir: Path) -> Any:
    return lambda share: Played(tmp_path, cache_dir, share)


SHARED, WHOLE = Share(cpus=4, gpus=0.5, all_cpus=8, num_slots=2), Share(cpus=8, gpus=1.0, all_cpus=8, num_slots=1)
NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("error", [NO_MEMORY, OutOfMemoryError("the node was running low on memory")])
def test_a_trial_without_memory_runs_once_more_with_the_whole_device_and_machine(play: Any, error: Exception) -> None:
    played = play(SHARED)
    trial = played.start()
    order = trial.config["order"]
    assert (order["num_cpus"], order["num_gpus"]) == (4, 0.5)
    played.fail(trial, error)
    assert played.ended == []
    again = played.start()
    assert again.config["order"] == {**order, "num_cpus": 8, "num_gpus": 1}
    played.fail(again, error)
    [told] = played.ended
    assert told["failure"].endswith("out of memory")
    assert str(error) in told["traceback"]
    assert played.queue.num_left == 1, "the other trial goes on"


def test_where_it_had_all_of_them_it_has_failed(play: Any) -> None:
    played = play(WHOLE)
    played.fail(played.start(), NO_MEMORY)
    assert [told["failure"] for told in played.ended] == ["device out of memory"]


def test_a_lost_trial_goes_on_as_long_as_it_gets_anywhere(play: Any) -> None:
    played = play(SHARED)
    first = played.start().config["order"]["identity"]
    played.queue.again(first)
    for step in range(1, 10):
        trial = played.start()
        assert trial.config["order"]["identity"] == first
        played.reach(trial, step)
        played.fail(trial, NodeDiedError("gone"))
    assert played.ended == []
    for _ in range(MOST_LOST):
        played.fail(played.start(), NodeDiedError("gone"))
    assert [told["failure"] for told in played.ended] == ["lost worker"]


def test_what_is_no_matter_of_memory_or_luck_is_not_repeated(play: Any) -> None:
    played = play(SHARED)
    for error in (ValueError("shapes differ"), FileNotFoundError(2, "gone")):
        played.fail(played.start(), error)
    assert [told["failure"] for told in played.ended] == ["code", "data"]
    assert played.queue.num_left == 0


def test_once_the_study_stops_nothing_runs_again(play: Any) -> None:
    played = play(SHARED)
    trial = played.start()
    played.stopper.stop()
    assert not played.stopper.stop_all(), "it has not saved its state"
    played.fail(trial, NO_MEMORY)
    assert [told["failure"] for told in played.ended] == ["device out of memory"]
    assert played.stopper.stop_all()
    assert played.queue.suggest("") == Queue.FINISHED


def test_a_worker_that_the_kernel_killed_for_memory_is_told_of_as_such(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = [4]  # of others, before this launch
    monkeypatch.setattr("study.events.num_killed_for_memory", lambda: killed[0])
    monkeypatch.setattr("study.events.memory_limit", lambda: 1_500_000_000)
    played = play(SHARED)
    played.fail(played.start(), ActorDiedError())
    trial = played.start()
    assert trial.config["order"]["num_cpus"] == 4, "a worker that was lost runs again beside others"
    for _ in range(2):
        killed[0] += 1
        played.fail(trial, ActorDiedError())
        trial = played.start() if not played.ended else trial
    [told] = played.ended
    assert told["failure"] == "host out of memory"
    assert told["message"].startswith("memory is short: 1.5 GB here, and a trial takes more than 900.0 MB")
    trial = played.start()
    played.events.on_trial_result(0, [], trial, {"peak_bytes": 950_000_000})
    killed[0] += 1
    played.fail(trial, ActorDiedError())
    killed[0] += 1
    played.fail(played.start(), ActorDiedError())
    assert "a trial takes up to 950.0 MB" in played.ended[-1]["message"]


def test_a_worker_that_the_stopping_signal_reached_leaves_its_trial_interrupted(play: Any) -> None:
    played = play(SHARED)
    trial = played.start()
    played.stopper.stop()
    played.fail(trial, NodeDiedError("gone"))
    assert played.ended == [], "the recorder marks it as interrupted"
    assert played.stopper.stop_all()
