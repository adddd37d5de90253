"""The forecast on the command line; the trials of plans are in test_studies.py."""

import json
import re
import sys
from pathlib import Path

import pytest

from study.cli.main import main


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["run_study.py", "plan", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_a_plan_for_gpus_that_are_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--store", tmp_path / "mlruns", "--data-dir", tmp_path, "--cache-dir", tmp_path / "cache"]
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    gpus = ["resolution", "--gpus", 8, "--gpu", "h100", "--price-per-hour", 2.5]
    assert call(monkeypatch, *gpus, *where) == 0
    printed = capsys.readouterr().out
    assert "to train: 30 trials, 45,000 optimizer steps" in printed
    assert "on 8 x h100, one trial on each at a time" in printed
    assert "cannot run as it is: resolution: missing dataset cifar100" in printed
    assert re.search(r"or take small models and images, .* with\n  .*run_study.py plan .* --scale nano", printed)
    assert "Next steps" not in printed, "something is missing"
    assert "dataset flowers102_nelorth: which of the official images are the 1,020 test images" in printed
    assert call(monkeypatch, *gpus, "--json", *where) == 0
    forecast = json.loads(capsys.readouterr().out)
    assert (forecast["schema"], forecast["total"]["trials"], forecast["device"]["count"]) == (1, 30, 8)
    hours = forecast["total"]["wall_seconds"] / 3600
    assert forecast["total"]["price"] == pytest.approx(8 * 2.5 * hours)
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gpu", "h1000"], "--gpu = 'h1000': must be one of h100, h200"),
        (["--gpus", "2"], "--gpus = 2: this machine has no GPU: name one with --gpu"),
    ],
)
def test_wrong_devices_are_one_line(
    options: list[str],
    message: str,
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("study.forecast.devices._gpus_here", list)
    where = ["--store", tmp_path / "mlruns", "--cache-dir", cache_dir]
    assert call(monkeypatch, "quickstart", *options, *where) == 2
    assert message in capsys.readouterr().err


def test_a_plan_ends_with_what_to_do_next(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--store", tmp_path / "mlruns", "--cache-dir", cache_dir]
    assert call(monkeypatch, "quickstart", *where) == 0
    *_, title, rehearse, run = capsys.readouterr().out.splitlines()
    assert title == "Next steps:"
    for line, command in ((rehearse, "rehearse"), (run, "run")):
        assert re.search(rf"run_study.py {command} quickstart --store \S+ --cache-dir \S+$", line)
