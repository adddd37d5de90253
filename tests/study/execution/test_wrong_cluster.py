"""Wrong input of `run --address` on a cluster of two machines, by the command line: one line, nothing is started."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import all_runs, command_of
from tests.machines import Machines, can_be_made

ADDRESS = "head:6379"
RAY_FOLDER = Path(f"/tmp/ray-{os.getpid()}")  # the paths of sockets in it have to be short
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not can_be_made(), reason="no rights to make namespaces"),
]


class Cluster:
    """A head without CPUs, from which studies are run, and a machine with one CPU and four GPUs, as it claims."""

    def __init__(self, machines: Machines, folder: Path) -> None:
        self.machines, self.folder = machines, folder
        self.store = folder / "store"
        folders = {"folder": folder, "ray_folder": RAY_FOLDER}
        machines.start_ray("head", "--head", "--port=6379", "--num-cpus=0", "--num-gpus=0", **folders)
        machines.start_ray("node", f"--address={ADDRESS}", "--num-cpus=1", "--num-gpus=4", **folders)

    def run(self, *options: str) -> "subprocess.CompletedProcess[str]":
        folders = ["--store", str(self.store), "--cache-dir", str(self.folder / "cache")]
        command = command_of("run", "quickstart", "--seeds", "1", "--address", ADDRESS, *folders, *options)
        on_head = [*self.machines.enter["head"], "env", "HOME=/dev/null", f"RAY_TMPDIR={RAY_FOLDER}", *command]
        return subprocess.run(on_head, capture_output=True, text=True, timeout=240, check=False, cwd=self.folder)

    def error_of(self, *options: str) -> str:
        """Run a study that cannot start; return the only line of its errors."""
        done = self.run(*options)
        assert done.returncode == 2, done.stdout + done.stderr
        [line] = done.stderr.splitlines()
        assert "Traceback" not in done.stdout
        assert all_runs(self.store) == []
        return line


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with Machines(("head", "node"), [RAY_FOLDER], folder / "hosts") as machines:
        yield Cluster(machines, folder)


def test_more_gpus_than_the_largest_node_has(cluster: Cluster) -> None:
    line = cluster.error_of("--gpus-per-trial", "8")
    assert "--gpus-per-trial = 8 fit neither one machine nor all together: " in line
    assert "CPUs and GPUs of each are 0 and 0; 1 and 4" in line


@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        ("mount --bind -o ro {0} {0}", "cannot be written: Read-only file system"),
        ("mount -t tmpfs tmpfs {0}", "this node has another folder there than the driver; "),
    ],
)
def test_a_storage_that_workers_cannot_write(cluster: Cluster, tmp_path: Path, mount: str, reason: str) -> None:
    cluster.machines.run("node", mount.format(tmp_path))
    line = cluster.error_of("--gpus-per-trial", "0", "--storage", str(tmp_path))
    assert line.startswith("error: no node is left that can run its trials: node node (")
    assert f"--storage = {tmp_path}: " in line
    assert reason in line


def test_images_that_a_node_lacks_and_cannot_fetch(cluster: Cluster) -> None:
    """No other node is left: nothing is trained. Then its disk has room, and the same command finishes the study."""
    cache = cluster.folder / "cache"
    cache.mkdir(exist_ok=True)
    cluster.machines.run("node", f"mount -t tmpfs -o ro tmpfs {cache}")
    done = cluster.run("--gpus-per-trial", "0")
    cluster.machines.run("node", f"umount {cache}")
    assert done.returncode == 1, done.stdout + done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("the study was stopped: ")]
    assert line.startswith("the study was stopped: no node is left that can run its trials: node node (")
    assert "is left out of this launch: it cannot fetch digits-" in line
    assert f"{cache} cannot be written: Read-only file system" in line
    assert "Traceback" not in done.stdout + done.stderr
    assert {run.data.tags.get("state") for run in all_runs(cluster.store)} <= {None, "interrupted"}


def test_a_study_runs_where_no_home_folder_can_be_written(cluster: Cluster) -> None:
    """Driver and node have none: what they need is in folders that are named."""
    done = cluster.run("--gpus-per-trial", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
