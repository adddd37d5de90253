"""A study that is killed ends as one that is not. The long form: python -m benchmarks.chaos"""

from pathlib import Path

import pytest

from benchmarks.chaos import chaos


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_doubled_or_different_after_kills(one_cpu: None, tmp_path: Path) -> None:
    quick = ("driver", "raylet")  # orphans of a GCS take minutes to exit; workers are killed in test_runner
    short = ["--seeds", "1", "--set", "steps=40"]
    report = chaos(tmp_path, num_kills=len(quick), seed=0, options=short, kinds=quick)
    assert report.kills.total() >= 1, "of two, unless the study was quicker"
    assert report.trials == 4
    assert report.is_clean, report
