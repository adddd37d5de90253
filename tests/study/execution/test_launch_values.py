"""Estimate and actual values of launches; records are made up."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.execution import launch_values
from study.execution.launch_values import actual_values, tag_actual, tag_estimate
from study.forecast.devices import DEVICES
from study.ledger.ledger import Ledger
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders
from tests.command_line import ROOT
from tests.study.made_plans import plan_of

TRIAL = TrialRecord(
    run_id="r", identity="i", state=TrialState.FINISHED, last_step=5, metrics={"peak_memory_bytes": 3e9}, params={},
    tags={"mlflow.parentRunId": "launch", "device": "cpu"}, start_s=110.0, end_s=130.0,
)  # fmt: skip
CPU_GRANT: Any = SimpleNamespace(device="cpu", max_concurrent_trials=2)


def test_a_launch_took_its_trials_and_its_start() -> None:
    other = replace(TRIAL, start_s=115.0, end_s=140.0, metrics={"peak_memory_bytes": 4e9})
    values = actual_values([TRIAL, other], began_s=100.0, now_s=145.0)
    assert values == {"wall_s": 45.0, "device_s": 45.0, "start_s": 15.0, "peak_bytes": 4e9}


def test_what_a_resumed_trial_took_in_an_earlier_launch_does_not_count() -> None:
    values = actual_values([replace(TRIAL, start_s=10.0)], began_s=100.0, now_s=140.0)
    assert (values["device_s"], values["start_s"]) == (30.0, 10.0)


def test_a_launch_that_ended_no_trial_only_took_time() -> None:
    assert actual_values([], began_s=100.0, now_s=140.0) == {"wall_s": 40.0, "device_s": 0.0, "start_s": 40.0}


def test_both_are_tags_of_the_launch_and_the_start_is_expected_to_take_as_long_again(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    plan = plan_of(Folders(store=tmp_path, data=tmp_path, cache=cache_dir))
    launch = ledger.launches.open("example", plan.space.tags)
    tag_estimate(ledger, [launch], [plan], [], CPU_GRANT)
    monkeypatch.setattr(Ledger, "trials_of", lambda ledger, name: {launch: [TRIAL]}[name])
    tag_actual(ledger, [launch], 100.0, 145.0)
    values = ledger.launches.forecast_values(plan.space.tags)
    assert {name: value for name, value in values.items() if name.startswith("actual")} == {
        "actual.wall_s": "45",
        "actual.device_s": "20",
        "actual.start_s": "25",
        "actual.peak_bytes": "3e+09",
    }
    assert values["estimate.start_s"] == "15"
    assert float(values["estimate.wall_s"]) == pytest.approx(15 + float(values["estimate.device_s"]) / 2, rel=1e-3)
    assert ledger.launches.start_s(on_gpu=False) is None, "it has not ended"
    ledger.launches.close(launch, TrialState.FINISHED, {})
    assert (ledger.launches.start_s(on_gpu=False), ledger.launches.start_s(on_gpu=True)) == (25.0, None)


def test_the_device_is_that_of_this_machine_else_of_the_newest_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_values, "devices_here", lambda: (DEVICES["cpu"], 2))
    on_gpu: Any = SimpleNamespace(device="cuda")
    newest = replace(TRIAL, tags={"device": "NVIDIA L40S"})
    assert launch_values._device_of(CPU_GRANT, [newest]).name == "cpu"
    assert launch_values._device_of(on_gpu, [TRIAL, newest]).name == "l40s"
    assert launch_values._device_of(on_gpu, []).name == "a100"
    monkeypatch.setattr(launch_values, "devices_here", lambda: (DEVICES["h100"], 2))
    assert launch_values._device_of(on_gpu, [newest]).name == "h100"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_the_rest_of_a_study_takes_what_the_plan_says(tmp_path: Path, cache_dir: Path) -> None:
    """Once a seed of each cell has finished: the launch within 20 %, memory within 10 %. Needs an idle machine."""
    where = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(cache_dir)]
    command = [sys.executable, str(ROOT / "run_study.py")]
    subprocess.run([*command, "run", "quickstart", "--seeds", "1", *where], check=True, capture_output=True)
    subprocess.run([*command, "run", "quickstart", *where], check=True, capture_output=True)
    launches = Ledger(tmp_path / "mlruns").launches
    values = {name: float(value) for name, value in launches.forecast_values({"study": "quickstart"}).items()}
    print(values)
    assert values["estimate.wall_s"] == pytest.approx(values["actual.wall_s"], rel=0.2)
    assert values["estimate.peak_bytes"] == pytest.approx(values["actual.peak_bytes"], rel=0.1)
