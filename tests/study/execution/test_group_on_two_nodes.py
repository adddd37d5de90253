"""A trial of four workers on two machines, through Ray Train on gloo: the trial of one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from revit.datasets.image_store import ImageStore
from revit.training.fine_tune import TrialData, fine_tune
from tests.command_line import ROOT
from tests.conftest import Listener
from tests.machines import Machines, can_be_made
from tests.study.execution.grouped_launch import RECORDER, space
from tests.study.execution.stores import Studies

RAY_FOLDER = Path(f"/tmp/ray-{os.getpid()}")  # the paths of sockets in it have to be short


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not can_be_made(), reason="no rights to make namespaces")
def test_a_trial_goes_from_four_workers_on_two_machines_to_one_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped and resumed each time; its first gradients, curves and accuracy are those of one process."""
    (tmp_path / "recorder.py").write_text(RECORDER.replace("__FOLDER__", repr(str(tmp_path))))
    module = "tests.study.execution.grouped_launch"
    command = [sys.executable, "-m", module, str(tmp_path), "first:6379", "4", "1", "4"]
    output = tmp_path / "launches"
    with Machines(("first", "second"), [RAY_FOLDER], tmp_path / "hosts") as machines, output.open("w") as file:
        folders = {"folder": tmp_path, "ray_folder": RAY_FOLDER}
        machines.start_ray("first", "--head", "--port=6379", "--num-cpus=2", **folders)
        machines.start_ray("second", "--address=first:6379", "--num-cpus=2", **folders)
        launches = machines.start("first", command, env={"RAY_TMPDIR": str(RAY_FOLDER)}, cwd=ROOT, output=file)
        try:
            assert launches.wait(600) == 0, output.read_text()
        except subprocess.TimeoutExpired:
            pytest.fail(output.read_text())
    states = [line.split() for line in output.read_text().splitlines() if line.endswith((" 1", " 4"))]
    assert [(state, workers) for state, _, workers in states] == [
        ("interrupted", "4"),
        ("interrupted", "1"),
        ("finished", "4"),
    ]
    assert 0 < int(states[0][1]) < int(states[1][1]) < 120, "each went on where the one before had stopped"

    monkeypatch.syspath_prepend(str(tmp_path))
    studies = Studies(tmp_path)
    [trial] = studies.plan(space()).trials
    config, listener = trial.candidate.config, Listener()
    (tmp_path / "1-0.pt").unlink(missing_ok=True)
    data = TrialData.from_store(config, ImageStore(trial.images), trial.weights)
    alone = fine_tune(config, data, listener, device=torch.device("cpu"))
    expected = torch.load(tmp_path / "1-0.pt")["gradients"]
    workers = [torch.load(tmp_path / f"4-{rank}.pt") for rank in range(4)]
    assert {worker["host"] for worker in workers} == {"first", "second"}
    for worker in workers:
        assert distance(expected, worker["gradients"]) < 1e-6
    assert trial.record.metrics["test_accuracy"] == alone.metrics["test_accuracy"]
    for name in ("train_loss", "val_loss"):
        curve = studies.ledger.curve(trial.record.run_id, name)
        assert curve == [(step, pytest.approx(value, rel=1e-4)) for step, value in listener.curve(name)]


def distance(expected: list[torch.Tensor], found: list[torch.Tensor]) -> float:
    """Return the norm of a difference, relative to the first."""
    one, other = (torch.cat([each.double().flatten() for each in tensors]) for tensors in (expected, found))
    return float((one - other).norm() / one.norm())
