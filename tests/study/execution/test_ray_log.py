"""The log of a launch, in a process of its own: its descriptors are changed."""

import subprocess
import sys
from pathlib import Path

import pytest
from ray._private.ray_logging import global_worker_stdstream_dispatcher

from study.execution.ray_log import MAX_LOGS, drop_printer, logged_to, new_log

WRITES = """
import logging, os, sys, warnings
from pathlib import Path
from ray._private.ray_logging import global_worker_stdstream_dispatcher as dispatcher
from study.execution.ray_log import logged_to

def write(what):
    logging.getLogger("ray").warning(f"record {what}")
    warnings.warn(f"warning {what}")
    os.write(2, f"C code {what}\\n".encode())
    dispatcher.emit({"pid": 7, "ip": "1", "localhost": "1", "actor_name": "trial", "lines": [f"print {what}"]})
    print(f"ours {what}")
    print(f"our error {what}", file=sys.stderr)

logging.getLogger("ray").addHandler(logging.StreamHandler())
with logged_to(Path(sys.argv[1])):
    write("inside")
write("after")
"""


def test_what_is_not_the_study_s_own_output_goes_to_the_log(tmp_path: Path) -> None:
    path = tmp_path / "1.log"
    done = subprocess.run(
        [sys.executable, "-c", WRITES, str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    log = path.read_text()
    for what in ("record inside", "warning inside", "C code inside", "(trial pid=7) print inside"):
        assert what in log
        assert what not in done.stdout + done.stderr
    assert done.stdout.splitlines() == ["ours inside", "ours after"]
    assert "our error inside" in done.stderr
    assert "our error" not in log
    for what in ("record after", "warning after", "C code after", "our error after"):
        assert what in done.stderr, "all is as before"
    assert "after" not in log


def test_events_of_the_autoscaler_are_shown_without_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.autoscaler.v2.utils.is_autoscaler_v2", lambda: False)  # it would ask Ray
    path = tmp_path / "1.log"
    event = ":event_summary:Adding 1 node"
    with logged_to(path):
        data = {"pid": "autoscaler", "ip": "1", "localhost": "1", "lines": ["== Autoscaler status ==", event]}
        global_worker_stdstream_dispatcher.emit(data)
    assert "Adding 1 node" in path.read_text()
    assert "Autoscaler status" not in path.read_text()


def test_a_store_keeps_its_newest_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for number in range(MAX_LOGS + 5):
        (folder / f"2000-01-01_00-00-{number:02}_1.log").touch()
    newest = new_log(tmp_path)
    found = sorted(folder.iterdir())
    assert len(found) == MAX_LOGS
    assert found[-1] == newest
    assert found[0].name == "2000-01-01_00-00-06_1.log"


def test_ray_prints_nothing_itself() -> None:
    printed: list[object] = []
    global_worker_stdstream_dispatcher.add_handler("ray_print_logs", printed.append)
    drop_printer()
    global_worker_stdstream_dispatcher.emit({"lines": ["a line"]})
    assert printed == []
