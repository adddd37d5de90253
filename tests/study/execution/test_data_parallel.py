"""Trials of several workers, on gloo: real processes, real Ray, and accidents."""

import io
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray
import torch
from ray.exceptions import ActorDiedError, RayTaskError
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError
from rich.console import Console

from revit.datasets.image_store import ImageStore
from revit.errors import InputError, WorkerLostError
from revit.training.fine_tune import TrialData, fine_tune
from revit.training.worker_group import WorkerGroup
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.execution import data_parallel
from study.execution.data_parallel import cause_of
from study.execution.failures import NodeUnfitError, classify
from study.execution.reporter import Send
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.ledger.states import TrialState
from tests.conftest import Listener
from tests.study.execution.stores import BASE, Studies

DIED = ActorDiedError()


def failed_to_start() -> BaseException:
    try:
        raise WorkerGroupStartupFailedError("a worker failed to initialize") from DIED
    except WorkerGroupStartupFailedError as error:
        return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (WorkerGroupError("", {1: WorkerHealthCheckFailedError("", DIED)}), DIED),
        (ControllerError(DIED), DIED),
        (ControllerError(failed_to_start()), DIED),
    ],
)
def test_a_worker_that_dies_is_lost(error: Any, cause: BaseException) -> None:
    assert cause_of(error) is cause
    assert classify(cause) == "lost worker"


def test_the_error_of_a_worker_explains_that_others_have_lost_it() -> None:
    own = InputError("no images")
    lost = WorkerHealthCheckFailedError("", DIED)
    assert cause_of(WorkerGroupError("", {0: lost, 1: own, 2: lost})) is own
    remote = RayTaskError("fine_tune", "", own)
    assert cause_of(ControllerError(remote)) is own


SAME_GPU = """a worker of the trial was lost: NCCL error in: NCCLUtils.cpp:94, invalid usage (run with NCCL_DEBUG=WARN)
ncclInvalidUsage: This usually reflects invalid usage of NCCL library.
Last error:
Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 50000"""


@pytest.mark.parametrize(("text", "failure"), [(SAME_GPU, "unfit node"), ("Connection reset by peer", "lost worker")])
def test_a_node_that_offers_more_gpus_than_it_has_is_unfit(
    text: str, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trial would lose its workers there again and again."""

    def work(group: WorkerGroup, send: Send) -> None:
        raise WorkerLostError(text)

    context = SimpleNamespace(get_node_id=lambda: "0123")
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(WorkerGroup, "joined", WorkerGroup)
    with pytest.raises((NodeUnfitError, WorkerLostError)) as raised:
        data_parallel._run_worker(work)
    error = pickle.loads(pickle.dumps(raised.value))  # as Ray takes it to the driver
    assert classify(error) == failure
    if isinstance(error, NodeUnfitError):
        assert error.node_id == "0123"
        assert str(error).startswith("it has fewer GPUs than it offers to Ray")


def test_worker_0_waits_in_its_report_until_tune_has_decided() -> None:
    returned: list[float] = []
    worker = threading.Thread(
        target=lambda: returned.append(data_parallel.send_report({"step": 4}) or time.monotonic())
    )
    assert data_parallel._take_report() is None
    worker.start()
    while (update := data_parallel._take_report()) is None:
        time.sleep(0.01)
    assert update == {"step": 4}
    worker.join(timeout=0.2)
    assert worker.is_alive()
    decided = time.monotonic()
    data_parallel._let_continue()
    worker.join()
    assert returned[0] >= decided


ACCIDENTS = """
import os, signal, time
from pathlib import Path
import torch
from torch import distributed as dist

FOLDER, DRIVER = Path({folder!r}), {driver}
calls, pause_s, coming = 0, 0.0, None

def loss(logits, targets):
    global calls, pause_s, coming
    calls += 1
    here = str(dist.get_rank()) if dist.is_initialized() else "alone"
    if coming is None or "memory" in coming.name:  # one death in the life of a group
        coming = next(iter(sorted(FOLDER.iterdir())), Path())
    _, worker, kind = coming.name.split() if coming.name else [""] * 3
    if calls > 5 and worker == here and coming.exists():
        coming.unlink()
        if kind == "death":
            os._exit(1)
        if kind == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory")
        os.kill(DRIVER, signal.SIGINT)
        pause_s = 0.2
    time.sleep(pause_s)
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1)
"""
"""A loss with accidents in the order of their names: `NUMBER WORKER KIND`. Once interrupted, it is slow."""


@pytest.fixture
def accidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, for files that name accidents; the module `accidents` can be imported."""
    folder = tmp_path / "accidents"
    folder.mkdir()
    (tmp_path / "accidents.py").write_text(ACCIDENTS.format(folder=str(folder), driver=os.getpid()))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    sys.modules.pop("accidents", None)


def num_group_workers() -> int:
    """Return how many workers of groups are alive on this machine."""
    names = [process.info["cmdline"] or [""] for process in psutil.process_iter(["cmdline"])]
    return sum("RayTrainWorker" in name[0] for name in names)


@pytest.mark.parametrize(
    "deaths", [[], pytest.param(["3 1 death", "4 0 death"], marks=pytest.mark.long)], ids=["short", "long"]
)
def test_a_trial_goes_on_with_another_number_of_workers_after_stops_short_memory_and_deaths(
    studies: Studies, accidents: Path, monkeypatch: pytest.MonkeyPatch, deaths: list[str]
) -> None:
    """Its numbers are those of one process that nothing happens to, and its identity is one."""
    base = BASE.with_values({"steps": 40, "num_evals": 4, "loss": "accidents:loss"})
    space = SearchSpace(
        name=f"group_{len(deaths)}", question="?", base=base, scientific={"optimizer.name": ("sgd",)}, seeds=(0,)
    )
    output = io.StringIO()

    def run(num_workers: int, *names: str) -> Any:
        for name in names:
            (accidents / name).touch()
        monkeypatch.setattr(ResourceRequest, "num_workers", property(lambda self: num_workers))
        result = run_plans([studies.plan(space)], studies.ledger, Console(file=output), ResourceRequest(), {})
        assert not list(accidents.iterdir())
        [trial] = studies.plan(space).trials
        assert trial.record.tags["workers"] == str(num_workers)
        return trial, result

    trial, stopped = run(1, "1 alone interrupt")
    first_step = trial.record.last_step
    assert (stopped.interrupted, trial.state) == (True, TrialState.INTERRUPTED)
    assert 0 < first_step < 40
    trial, stopped = run(2, "2 1 memory", *deaths, "5 0 interrupt")
    assert (stopped.interrupted, trial.state) == (True, TrialState.INTERRUPTED)
    assert first_step < trial.record.last_step < 40
    assert trial.record.tags["micro_batch"] == ("16" if deaths else "8"), "new processes try the whole batch"
    num_resumed = output.getvalue().count("resumes after: lost worker")  # both deaths may hit one group
    assert min(len(deaths), 1) <= num_resumed <= len(deaths)
    trial, _ = run(2)
    assert trial.state == TrialState.FINISHED
    assert len([run for run in studies.runs("trial") if run.data.tags["study"] == space.name]) == 1

    listener = Listener()
    data = TrialData.from_store(trial.candidate.config, ImageStore(trial.images), trial.weights)
    alone = fine_tune(trial.candidate.config, data, listener, device=torch.device("cpu"))
    assert trial.record.metrics["test_accuracy"] == alone.metrics["test_accuracy"]
    assert trial.record.metrics["test_loss"] == pytest.approx(alone.metrics["test_loss"], rel=1e-5)
    for name in ("val_loss", "train_loss"):
        curve = studies.ledger.curve(trial.record.run_id, name)
        assert [step for step, _ in curve] == [step for step, _ in listener.curve(name)]
        assert [value for _, value in curve] == pytest.approx([value for _, value in listener.curve(name)], rel=1e-4)
    wait_until_all_is_given_back()


def wait_until_all_is_given_back() -> None:
    until = time.monotonic() + 120
    while num_group_workers() or ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert time.monotonic() < until, "workers and resources are given back"
        time.sleep(0.1)


@pytest.mark.long
def test_a_pruned_trial_ends_its_group_and_the_next_trial_has_a_new_one(
    studies: Studies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Points are pruned where those of one process are."""
    space = SearchSpace(
        name="pruned",
        question="?",
        base=BASE.with_values({"steps": 16}),
        scientific={"optimizer.name": ("sgd",)},
        nuisance={"optimizer.lr": (0.3, 0.25, 0.2, 1e-6, 2e-6)},
        search=Search(pruner="median"),
        seeds=(0,),
    )
    ends = []
    for num_workers in (1, 2):
        monkeypatch.setattr(ResourceRequest, "num_workers", property(lambda self, number=num_workers: number))
        plan, result = Studies(tmp_path / str(num_workers)).run(space)
        assert plan.is_complete, result
        [search] = plan.searches
        ends.append([(point.state, point.trials[0].record.last_step) for point in search.points])
    assert ends[0] == ends[1]
    assert TrialState.PRUNED in {state for state, _ in ends[0]}
    wait_until_all_is_given_back()
