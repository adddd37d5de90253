"""Inputs on a cluster of real processes, whose nodes share nothing but the storage."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from revit.config import FineTuneConfig
from revit.training.prediction_file import write_predictions
from search_spaces.framework.space import SearchSpace
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState

SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(
        dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=4, num_evals=1
    ),
    scientific={"optimizer.lr": (0.01, 0.03)},
    seeds=(0, 1),
)

LAUNCH = """
import json, os, sys
from pathlib import Path
from types import SimpleNamespace
import ray
from ray.cluster_utils import Cluster
from ray.util.placement_group import placement_group_table
from rich.console import Console
from study.execution.resources import ResourceGrant, ResourceRequest
from study.execution.runner import run_plans
from study.execution.tuner import placement_group
from study.ledger.ledger import Ledger
from study.plan import Folders
from study.planning import make_plan
from study.system.storage import Storage
from tests.study.execution.test_cluster_inputs import SPACE

root = Path(sys.argv[1])

class CountingStorage(Storage):
    def download(self, name, local):
        with (root / "downloads").open("a") as file:
            print(local.relative_to(root).parts[0], name, file=file)
        super().download(name, local)

def launch(output):
    # What is left of SPACE: the states of its trials, and why it stopped.
    plan = make_plan(SPACE, SPACE.seeds, folders, ledger.trials())
    with (root / output).open("w") as file:
        request = ResourceRequest(address=cluster.address)
        result = run_plans([plan], ledger, Console(file=file, width=1000), request, {"command": "test"})
    return {"states": list(result.states.values()), "stop_reason": result.stop_reason}

for name in ("a", "b", "c"):
    (root / name).touch()  # a file in place of a cache folder: root may write any folder
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
try:
    for name in ("a", "b", "c"):
        cluster.add_node(num_cpus=1, env_vars={"REVIT_CACHE_DIR": str(root / name)})
    cluster.wait_for_nodes()
    (root / "driver").mkdir()
    os.chdir(root / "driver")
    folders = Folders(
        store=root / "mlruns", data=root / "data", cache=Path("/proc/self/cwd")  # another folder on the nodes
    )
    ledger = Ledger(folders.store)
    ledger.storage = CountingStorage(str(root / "mlruns"))
    stopped = launch("stopped") if sys.argv[2] == "long" else None
    for name in ("a", "b"):
        (root / name).unlink()
    finished = launch("finished")
    nodes = {node["NodeID"] for node in ray.nodes() if node["Resources"].get("CPU")}
    placed = {}
    for node in nodes:  # where Ray runs a trial that the two others must not run
        excluded = tuple(sorted(nodes - {node}))
        grant = ResourceGrant(num_cpus=1, num_gpus=0, max_cpus=1, max_concurrent_trials=1, excluded_nodes=excluded)
        group = placement_group({"task": SimpleNamespace(grant=grant)}).to_placement_group()
        assert group.wait(60)
        placed[node] = placement_group_table(group)["bundles_to_node_id"][0]
    assert placed == {node: node for node in nodes}, placed
    (root / "results.json").write_text(json.dumps([stopped, finished]))
finally:
    ray.shutdown()
    cluster.shutdown()
"""


@pytest.mark.long
@pytest.mark.parametrize("length", ["short", "long"])
def test_nodes_fetch_inputs_once_and_those_that_cannot_are_left_out(
    tmp_path: Path, train: Callable[..., Any], length: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LAUNCH, str(tmp_path), length],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stopped, finished = json.loads((tmp_path / "results.json").read_text())
    if length == "long":
        reason = "the study was stopped: no node is left that can run its trials: node "
        assert set(stopped["states"]) == {TrialState.INTERRUPTED}
        assert stopped["stop_reason"].startswith(reason)
        assert [stopped["stop_reason"].count(f"{tmp_path / name} cannot be written") for name in "abc"] == [1, 1, 1]
    assert finished == {"states": [TrialState.FINISHED] * 4, "stop_reason": ""}
    [images] = [path.name for path in (tmp_path / "driver").glob("digits-*")]
    downloads = (tmp_path / "downloads").read_text().splitlines()
    assert sorted(downloads) == [f"a inputs/{images}", f"b inputs/{images}"]
    lines = (tmp_path / "finished").read_text().splitlines()
    uploads = [line for name in ("stopped", "finished") for line in _uploads(tmp_path / name)]
    assert uploads == [f"uploading images of digits to {tmp_path / 'mlruns'}"]
    [left_out] = [line for line in lines if "is left out of this launch" in line]
    assert f"it cannot fetch {images}: {tmp_path / 'c'} cannot be written" in left_out
    _check_predictions(tmp_path, train)


def _uploads(output: Path) -> list[str]:
    lines = output.read_text().splitlines() if output.exists() else []
    return [line for line in lines if "uploading" in line]


def _check_predictions(root: Path, train: Callable[..., Any]) -> None:
    """Compare with the same trials in this process."""
    ledger = Ledger(root / "mlruns")
    records = {(each.params["optimizer.lr"], each.params["seed"]): each for each in ledger.trials().values()}
    assert len(records) == 4
    for candidate in SPACE.candidates(SPACE.seeds):
        config = candidate.config
        record = records[str(config.optimizer.lr), str(config.seed)]
        write_predictions(root / "expected.parquet", train(config)[0].evaluations)
        expected = pd.read_parquet(root / "expected.parquet")
        pd.testing.assert_frame_equal(
            pd.read_parquet(ledger.artifacts.path(record.run_id, "predictions.parquet")), expected, check_exact=True
        )
