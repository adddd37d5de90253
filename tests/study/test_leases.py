"""Leases between real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from study.leases import Leases

HOLDER = """
import sys, time
from pathlib import Path
from study.leases import Leases
leases = Leases(Path(sys.argv[1]))
print(leases.take("trial"), flush=True)
time.sleep(600)
"""


def start_holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    return process


def test_a_lease_is_one_process_at_a_time_and_freed_however_that_dies(tmp_path: Path) -> None:
    ours = Leases(tmp_path)
    with start_holder(tmp_path) as holder:
        taken = ours.take("trial")
        other_taken = ours.take("another")
        os.kill(holder.pid, signal.SIGKILL)
    assert not taken
    assert other_taken
    assert ours.take("trial")


def test_a_lease_given_back_leaves_nothing_and_can_be_taken_again(tmp_path: Path) -> None:
    one, other = Leases(tmp_path), Leases(tmp_path)
    for holder in (one, other, one):
        assert holder.take("trial")
        assert holder.take("trial"), "it is ours already"
        assert not (other if holder is one else one).take("trial")
        holder.release("trial")
    one.release("never taken")
    one.take("a")
    one.take("b")
    one.release_all()
    assert list(tmp_path.iterdir()) == []
