"""Launches of a few trials in the Ray that tests share, commands on a store of two: not about speed."""

import math

import pytest

from benchmarks import scale


@pytest.mark.slow
def test_launches_are_measured_with_ray_without_it_and_commands_after_them(
    ray_cluster: None, one_slot: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands are not run: other tests do."""
    commands: list[str] = []
    monkeypatch.setattr(scale.report, "seconds_of", lambda *arguments: commands.append(arguments[1]) or (2.0, 1.0))
    lines = scale.measure(tiny=True)
    assert [line.what for line in lines] == [
        "processor time of the driver per trial, 3 trials on 4 nodes, simulated",
        "peak memory of the driver, 3 trials on 4 nodes, simulated",
        "processor time of the driver per trial, 2 trials on 4 nodes, simulated",
        "resume, until Tune starts, 2 finished trials, processor time",
        "plan, 2 finished trials, processor time",
        "report, 2 finished trials, processor time",
    ]
    assert all(0 < line.ratio < math.inf for line in lines)
    assert commands == ["plan", "report"]
    assert [line.ratio for line in lines[-2:]] == [1 / 20, 1 / 20]
    assert lines[-1].details == "1.0 s; wall time 2.0 s"
    assert capsys.readouterr().out == "", "Tune shows nothing, also of trials of which it has forgotten the reports"
