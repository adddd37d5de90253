"""Studies on Ray whose driver and workers share an object store, and no folder."""

import os
import signal
from pathlib import Path
from typing import Any

import fsspec.implementations.local
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray import tune

from search_spaces.framework.space import SearchSpace
from study.execution.callback import TuneCallback
from study.execution.recorder import RunResult
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.layout import MODEL, NEEDED_FILES, PREDICTIONS
from study.ledger.ledger import Ledger
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan
from tests.study.execution.stores import BASE, QUIET
from tests.study.object_store import ObjectStore

SPACE = SearchSpace(
    name="stored",
    question="Where is it kept?",
    base=BASE.with_values({"steps": 600, "num_evals": 6}),
    scientific={"optimizer.name": ("sgd",)},
    seeds=(0,),
)
TIMES = ("train_time_s", "images_per_s", "train_images_per_s", "eval_images_per_s", "peak_memory_bytes")


class OnOwnStorage:
    """Runs a study on a store of its own; `on_result` is called before the driver sees a report."""

    def __init__(self, folder: Path, cache_dir: Path, storage: str = "") -> None:
        self.folders = Folders(store=folder, data=folder, cache=cache_dir)
        self.ledger = Ledger(folder, storage=storage)

    def run(self, space: SearchSpace = SPACE) -> RunResult:
        plan = make_plan(space, space.seeds, self.folders, self.ledger.trials())
        return run_plans([plan], self.ledger, QUIET, ResourceRequest(), {})

    @property
    def trial(self) -> TrialRecord:
        [record] = self.ledger.trials().values()
        return record

    def file(self, name: str) -> Path:
        return self.ledger.artifacts.path(self.trial.run_id, name)


class DriverOnly(FSSpecHandler):
    """Local files that only the process that made it may reach."""

    def __init__(self) -> None:
        super().__init__(fsspec.implementations.local.LocalFileSystem())
        self.pid = os.getpid()

    def __getattribute__(self, name: str) -> Any:
        if name in ("fs", "get_file_info", "create_dir", "open_output_stream"):
            assert os.getpid() == object.__getattribute__(self, "pid"), f"a worker called {name}"
        return super().__getattribute__(name)


class DriverOnlyConfig(tune.RunConfig):
    """Settings of a run whose files no worker may reach."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, storage_filesystem=PyFileSystem(DriverOnly()))


def on_result(patch: pytest.MonkeyPatch, react: Any) -> None:
    original = TuneCallback.on_trial_result

    def react_first(self: TuneCallback, iteration: int, trials: Any, trial: Any, result: dict[str, Any]) -> None:
        react(result)
        original(self, iteration, trials, trial, result)

    patch.setattr(TuneCallback, "on_trial_result", react_first)


@pytest.mark.usefixtures("ray_cluster")
def test_a_study_in_an_object_store_that_is_stopped_and_resumed_has_the_bits_of_one_in_a_folder(
    tmp_path: Path, cache_dir: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = OnOwnStorage(tmp_path / "whole", cache_dir)
    assert list(whole.run().states.values()) == [TrialState.FINISHED]

    stored = OnOwnStorage(tmp_path / "stored", cache_dir, object_store.new_address())
    reports: list[dict[str, Any]] = []
    with monkeypatch.context() as patch:
        on_result(patch, lambda result: os.kill(os.getpid(), signal.SIGTERM) if "tags" in result else None)
        result = stored.run()
    assert result.interrupted
    assert stored.trial.state == TrialState.INTERRUPTED
    [name] = {
        path.partition("/")[2].partition("/")[0] for path in stored.ledger.storage.list("work") if "check" in path
    }
    step = int(name.rpartition("-")[2])
    assert 0 < step < 600
    assert stored.ledger.storage.list("tune") == {}

    with monkeypatch.context() as patch:
        on_result(patch, reports.append)
        assert list(stored.run().states.values()) == [TrialState.FINISHED]
    assert [each["rows"][-1]["step"] for each in reports if each.get("is_replay")] == [step]
    assert stored.ledger.storage.list("") == {}, "nothing of a completed trial stays"
    metrics = [{n: v for n, v in each.trial.metrics.items() if n not in TIMES} for each in (stored, whole)]
    assert metrics[0] == metrics[1]
    curves = [each.ledger.curve(each.trial.run_id, "train_loss") for each in (stored, whole)]
    assert curves[0] == curves[1]
    assert pq.read_table(stored.file(PREDICTIONS)).equals(pq.read_table(whole.file(PREDICTIONS)))
    assert stored.file(MODEL).read_bytes() == whole.file(MODEL).read_bytes()
    assert all(stored.file(name).is_file() for name in NEEDED_FILES)
    assert not (tmp_path / "stored" / "work" / stored.trial.identity).exists()


@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_with_a_missing_artifact_has_failed_and_no_worker_needs_files_of_tune(
    tmp_path: Path, cache_dir: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = OnOwnStorage(tmp_path / "stored", cache_dir, object_store.new_address())
    storage = stored.ledger.storage

    def lose_predictions(result: dict[str, Any]) -> None:
        if "state" in result:
            [name] = [name for name in result["artifacts"] if name.endswith(PREDICTIONS)]
            storage.delete(name)

    on_result(monkeypatch, lose_predictions)
    monkeypatch.setattr(tune, "RunConfig", DriverOnlyConfig)
    result = stored.run(
        SearchSpace(name="short", question="?", base=BASE, scientific={"optimizer.name": ("sgd",)}, seeds=(0,))
    )
    [message] = result.messages.values()
    where = f"work/{stored.trial.identity} of {storage.address}"
    assert message == f"{PREDICTIONS} missing in {where}: every node has to reach it, see --storage"
    assert stored.trial.state == TrialState.FAILED
