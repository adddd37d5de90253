"""A study that is killed ends as one that is not. The long form: python -m benchmarks.chaos"""

from pathlib import Path

import pytest

from benchmarks.chaos import VICTIMS, chaos


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_doubled_or_different_after_kills(tmp_path: Path) -> None:
    report = chaos(tmp_path, num_kills=len(VICTIMS), seed=0, options=["--seeds", "2"])
    assert report.kills.total() >= len(VICTIMS) - 1, "unless the study was quicker than the last of them"
    assert report.trials == 8
    assert report.is_clean, report
