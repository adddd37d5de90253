"""The time between trials, measured on a launch of three, in a process of its own: not about speed."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.long
def test_the_time_between_trials_is_measured_where_the_next_one_is_prepared(tmp_path: Path) -> None:
    """The workers of a Ray that runs already would not know where to write."""
    results = tmp_path / "results.md"
    subprocess.run([sys.executable, "-m", "benchmarks", "idle_time", "--tiny", "--results", str(results)], check=True)
    what, _, ratio, *_ = results.read_text().splitlines()[-1].strip("| ").split(" | ")
    assert what == "idle time between 3 trials of vit_small, the next one prepared"
    assert float(ratio) > 0
