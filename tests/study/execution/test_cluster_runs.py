"""A study on a cluster of real processes, whose nodes share nothing but the storage: all of them die."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.cluster_utils import Cluster

import search_spaces
from revit.datasets.image_store import open_store
from revit.models.weights import find_weights
from revit.training.fine_tune import TrialData, fine_tune
from study.execution.cluster import start_ray
from study.ledger.ledger import Ledger
from study.plan import Folders
from study.planning import make_plan
from tests.command_line import all_runs, command_of, write_study

DEADLINE_S = 240


class Nodes:
    """A head without CPUs, and nodes of one CPU that have folders of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "env_vars": self.variables("head")})

    def variables(self, name: str) -> dict[str, str]:
        """Return the variables of a node that has a folder of its own."""
        (self.folder / name).mkdir()
        return {each: str(self.folder / name) for each in ("HOME", "REVIT_CACHE_DIR", "TMPDIR")}

    def add(self, name: str) -> object:
        """Add a node. On one machine, nodes would share the folder of the code that they get."""
        own: dict[str, Any] = {"env_vars": self.variables(name), "runtime_env_dir_name": f"code-of-{name}"}
        return self.cluster.add_node(num_cpus=1, node_name=name, **own)

    def kill(self, node: object) -> None:
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    had_ray = ray.is_initialized()
    nodes = Nodes(tmp_path)
    yield nodes
    ray.shutdown()
    nodes.cluster.shutdown()
    if had_ray:
        start_ray()


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + DEADLINE_S
    while not holds():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [("first", "second"), pytest.param(("first", "second", "third"), marks=pytest.mark.long)], ids=len
)
def test_nodes_are_killed_and_another_one_comes_and_every_trial_has_the_bits_of_one_machine(
    nodes: Nodes, tmp_path: Path, names: tuple[str, ...]
) -> None:
    doomed = [nodes.add(name) for name in names]
    study = write_study(
        tmp_path / "spread.py",
        base='dataset="digits", resolution=8, batch_size=16, steps=500, num_evals=20',
        scientific={"optimizer.lr": (0.1,)},
        seeds=tuple(range(len(names))),
    )
    store, storage, cache = tmp_path / "driver" / "mlruns", tmp_path / "storage", tmp_path / "driver" / "cache"
    only_here = "/proc/self/cwd/cache"  # in a worker, this is another folder, without the driver's images
    folders = ["--store", str(store), "--cache-dir", only_here, "--data-dir", str(tmp_path / "driver" / "data")]
    command = command_of("run", study, *folders, "--storage", str(storage), "--address", nodes.cluster.address)
    env = {**os.environ, "HOME": str(tmp_path / "driver")}
    cache.mkdir(parents=True)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, cwd=cache.parent
    ) as process:
        wait_until(lambda: len(list(storage.rglob("checkpoint.pt"))) == len(names), process)
        nodes.kill(doomed.pop())
        nodes.add("late")
        for node in doomed:
            nodes.kill(node)
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    assert output.count("resumes after: lost worker") >= len(names)
    assert "Raylet is terminated" not in output
    space = search_spaces.load(study)
    plan = make_plan(space, space.seeds, Folders(store=store, data=cache, cache=cache), Ledger(store).trials())
    assert plan.is_complete, output
    runs = [run for run in all_runs(store) if "identity" in run.data.tags]
    assert Counter(run.data.tags["identity"] for run in runs) == Counter(trial.identity for trial in plan.trials)
    torch.set_num_threads(1)
    images = open_store("digits", data_dir=cache, cache_dir=cache)
    for trial in plan.trials:
        config = trial.candidate.config
        data = TrialData.from_store(config, images, find_weights(config.model))
        expected = fine_tune(config, data, lambda rows, state: None, device=torch.device("cpu")).predictions
        found = Ledger(store).artifacts.read_predictions(trial.record.run_id, ("confidence", "loss"))
        assert (found.confidence == expected.confidence).all()
        assert (found.loss == expected.loss).all()
    for name in (*names, "late"):
        assert len(list((nodes.folder / name).glob("digits-*"))) == 1, output
    assert not list(storage.rglob("work/*")), "nothing of an ended trial is left in the storage"
