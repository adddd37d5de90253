"""Commands whose output goes nowhere: real processes, real devices."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"{sys.executable} {Path(__file__).parents[3] / 'run_study.py'} list"


@pytest.mark.parametrize(
    ("where", "stderr"),
    [
        ("> /dev/full", "what is printed is lost: No space left on device\n"),
        (">&-", ""),
        ("<&- >&- 2>&-", ""),
        ("2> /dev/full > /dev/full", ""),
        ("| true", ""),
    ],
)
def test_a_command_goes_on_where_it_cannot_print(where: str, stderr: str) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{COMMAND} {where}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, stderr, "")
