"""One trial each way, in the Ray that tests share: it says nothing about speed."""

import math
from pathlib import Path

import pytest

from benchmarks import short_trials
from benchmarks.ratios import time_call
from tests.command_line import call_here


@pytest.mark.long  # short: test_study_time.py
def test_both_ways_train_and_are_timed(ray_cluster: None, one_slot: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each runs what it has its process run."""

    def run_here(program: str, *arguments: str) -> None:
        if program == "-c":
            code, count, images, folder = arguments
            assert code == short_trials.DOCUMENTED
            short_trials.documented(int(count), Path(images), Path(folder))
        else:
            ended = call_here(*arguments)
            assert (program, ended.returncode) == ("run_study.py", 0), ended.stderr

    monkeypatch.setattr(short_trials, "_seconds", lambda *words: time_call(lambda: run_here(*words)))
    [line] = short_trials.measure(tiny=True)
    assert line.what == "1 short trials"
    assert 0 < line.ratio < math.inf
