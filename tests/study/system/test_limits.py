"""Limits, read from folders like those that Linux shows of its control groups."""

import os
from pathlib import Path

import pytest

from revit.errors import InputError
from study.system import limits
from study.system.limits import RAY_TASKS, check_processes, free_bytes, memory_limit, num_killed_for_memory

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
GB_AND_A_HALF = 1_610_612_736
UNLIMITED = 9_223_372_036_854_771_712


@pytest.fixture
def lay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(limits, "CGROUPS", tmp_path)
    monkeypatch.setattr(limits, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(limits, "PROCESSES", tmp_path)
    monkeypatch.setattr(limits.resource, "getrlimit", lambda _: (limits.resource.RLIM_INFINITY,) * 2)

    def write(own: str, files: dict[str, object]) -> None:
        (tmp_path / "own").write_text(own)
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(f"{content}\n")

    return write


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        ("0::/\n", {"memory.max": GB_AND_A_HALF}, GB_AND_A_HALF),
        ("0::/a/b\n", {"a/memory.max": GB_AND_A_HALF, "a/b/memory.max": "max"}, GB_AND_A_HALF),
        ("4:cpu,memory:/j\n0::/\n", {"memory/j/memory.limit_in_bytes": GB_AND_A_HALF}, GB_AND_A_HALF),
        ("4:memory:/not/shown\n", {"memory/memory.limit_in_bytes": GB_AND_A_HALF}, GB_AND_A_HALF),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": UNLIMITED}, PHYSICAL),
        ("0::/a\n", {"b/memory.max": GB_AND_A_HALF}, PHYSICAL),
        ("", {}, PHYSICAL),
    ],
)
def test_memory_is_what_the_container_allows(lay: object, own: str, files: dict[str, object], limit: int) -> None:
    lay(own, files)
    assert memory_limit() == limit


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/a\n", {"a/memory.events": "oom 9\noom_kill 3\noom_group_kill 0", "memory.events": "oom_kill 8"}),
        ("4:memory:/a\n", {"memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3"}),
        ("", {"vmstat": "nr_free_pages 7\noom_kill 3"}),
    ],
)
def test_the_kernel_counts_whom_it_kills_for_memory(lay: object, own: str, files: dict[str, object]) -> None:
    lay(own, files)
    assert num_killed_for_memory() == 3


def test_too_few_processes_for_ray_are_told_before_it_starts(lay: object) -> None:
    files = {"a/pids.max": 120, "a/pids.current": 7, "pids.max": "max"}
    lay("0::/a\n", files)
    with pytest.raises(InputError, match=r"a/pids\.max allows 120 processes and threads: 7 are in use, and Ray"):
        check_processes()
    lay("3:pids:/a\n", {f"pids/{path}": text for path, text in files.items()})
    with pytest.raises(InputError, match=r"pids/a/pids\.max allows 120 processes and threads"):
        check_processes()
    lay("0::/a\n", files | {"a/pids.max": RAY_TASKS + 7})
    check_processes()


def test_a_users_limit_counts_all_threads_of_the_user(lay: object, monkeypatch: pytest.MonkeyPatch) -> None:
    lay("", {"1/task/1/stat": "", "1/task/2/stat": "", "7/task/7/stat": ""})
    monkeypatch.setattr(limits.resource, "getrlimit", lambda _: (120, 120))
    owner = os.getuid()
    monkeypatch.setattr(limits.os, "getuid", lambda: 0)
    check_processes()  # root may have as many as it likes
    monkeypatch.setattr(limits.os, "getuid", lambda: owner or 1000)
    used = 3 if owner else 0
    with pytest.raises(InputError, match=f"ulimit -u allows 120 processes and threads: {used} are in use"):
        check_processes()


def test_the_free_space_of_a_folder_that_is_not_there_is_that_of_its_disk(tmp_path: Path) -> None:
    stat = os.statvfs(tmp_path)
    free = stat.f_bavail * stat.f_frsize
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free, rel=0.2)
