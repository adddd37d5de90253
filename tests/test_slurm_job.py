"""The SLURM recipe on two machines, with simple programs in place of SLURM's own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from tests.command_line import ROOT, write_study
from tests.machines import Machines, can_be_made

JOB = ROOT / "examples" / "cluster" / "slurm_job.sh"
NAMES = ("node1", "node2")
NUMBER = os.getpid()
"""Number of the job: its folders are its own."""
LOCAL = (Path(f"/tmp/ray-{NUMBER}"), Path(f"/tmp/revit-cache-{NUMBER}"))
DEADLINE_S = 300

SCONTROL = """
[ "$*" = "show hostnames node[1-2]" ]
echo node1
echo node2
"""
SRUN = """
while [[ $1 = --* ]]; do shift; done
{ export -p; printf "%q " "$@"; } >"$SLURM_FAKE/command"
mv "$SLURM_FAKE/command" "$SLURM_FAKE/step"  # which the other machine starts
code=0
"$@" || code=$?
while [ -e "$SLURM_FAKE/step" ]; do sleep .1; done
exit $code
"""


def test_the_job_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", JOB], check=True)


class Slurm:
    """Runs one job after the other on two machines."""

    def __init__(self, machines: Machines, folder: Path) -> None:
        self._machines, self._folder = machines, folder
        (folder / "bin").mkdir()
        for name, script in {"scontrol": SCONTROL, "srun": SRUN}.items():
            (folder / "bin" / name).write_text(f"#!/bin/bash\nset -e\n{script}")
            (folder / "bin" / name).chmod(0o755)
        (folder / "activate").write_text(f"export PATH={folder}/bin:{sys.prefix}/bin:$PATH\n")
        self._env = {
            "STUDY_ENVIRONMENT": str(folder / "activate"),
            "SCRATCH": str(folder / "scratch"),
            "USER": str(NUMBER),
            "HOME": str(folder),
            "SLURM_FAKE": str(folder),
            "SLURM_JOB_ID": str(NUMBER),
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_JOB_NUM_NODES": "2",
            "SLURM_CPUS_ON_NODE": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }

    def submit(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a job, as `sbatch`."""
        job = self._start("node1", ["bash", str(JOB), *arguments], "job")
        threading.Thread(target=self._start_steps, args=[job], daemon=True).start()
        return job

    def _start_steps(self, job: "subprocess.Popen[str]") -> None:
        """Start on the other machine what `srun` asks for, until the job has ended."""
        step = self._folder / "step"
        while job.poll() is None:
            if step.exists():
                self._start("node2", ["bash", str(step)], "step").wait()
                step.unlink()
            time.sleep(0.1)

    def _start(self, machine: str, command: list[str], name: str) -> "subprocess.Popen[str]":
        with (self._folder / f"{name}.out").open("a") as output:
            return self._machines.start(machine, command, env=self._env, cwd=self._folder, output=output)

    def signal(self, job: "subprocess.Popen[str]", number: int) -> None:
        """Send a signal to the script of a job alone."""
        [script] = psutil.Process(job.pid).children()
        script.send_signal(number)

    def processes(self) -> list[str]:
        """Return the names of the processes that are left on the machines."""
        return [process for name in NAMES for process in self._machines.processes(name)]

    def output(self) -> str:
        return "".join(path.read_text() for path in self._folder.iterdir() if path.suffix in (".out", ".log"))


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    if not can_be_made():
        pytest.skip("no rights to make namespaces")
    with Machines(NAMES, LOCAL, tmp_path / "hosts") as machines:
        yield Slurm(machines, tmp_path)


def wait_until(holds: Callable[[], object], job: "subprocess.Popen[str]", slurm: Slurm) -> None:
    end = time.monotonic() + DEADLINE_S
    while not holds():
        assert job.poll() is None, slurm.output()
        assert time.monotonic() < end, slurm.output()
        time.sleep(0.1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_job_stops_before_its_time_limit_and_the_next_one_continues(slurm: Slurm, tmp_path: Path) -> None:
    study = write_study(
        tmp_path / "spread.py",
        base='dataset="digits", resolution=8, batch_size=16, steps=800, num_evals=20',
        scientific={"optimizer.lr": (0.1,)},
        seeds=(0, 1, 2),
    )
    options = ["run", study, "--store", str(tmp_path / "mlruns")]
    job = slurm.submit(*options)
    wait_until(lambda: len(list((tmp_path / "scratch").rglob("checkpoint.pt"))) == 2, job, slurm)
    slurm.signal(job, signal.SIGTERM)
    assert job.wait(DEADLINE_S) == 130, slurm.output()
    assert "stopping the trials" in slurm.output()
    assert slurm.processes() == []
    states = [trial.state for trial in Ledger(tmp_path / "mlruns").trials().values()]
    assert states.count(TrialState.INTERRUPTED) == 2, slurm.output()

    assert slurm.submit(*options).wait(DEADLINE_S) == 0, slurm.output()
    states = [trial.state for trial in Ledger(tmp_path / "mlruns").trials().values()]
    assert states == [TrialState.FINISHED] * 3, slurm.output()
    assert slurm.processes() == []
