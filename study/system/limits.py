"""Limits on memory or processes: of the machine, a container, a user."""

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from revit.errors import InputError

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
PROCESSES = Path("/proc")

RAY_TASKS = 180
"""Processes and threads of Ray and one trial, measured with Ray 2.60: 125 of Ray, 25 of the driver, 30 of a worker."""


def memory_limit() -> int:
    """Return the bytes of memory that this process and its children may use."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    files = [*_cgroup_files("", "memory.max"), *_cgroup_files("memory", "memory.limit_in_bytes")]
    return min([physical, *_numbers(files)])


def num_killed_for_memory() -> int:
    """Return the number of processes that the kernel killed for memory: of our control group, or of this machine."""
    files = [*_cgroup_files("", "memory.events"), *_cgroup_files("memory", "memory.oom_control")]
    for path in (*files, PROCESSES / "vmstat"):
        for line in _text(path).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return 0


def check_processes() -> None:
    """Raise InputError if a limit on processes and threads does not let Ray start."""
    for name, allowed, used in _process_limits():
        if allowed - used < RAY_TASKS:
            needed = f"{used} are in use, and Ray and one trial need about {RAY_TASKS}"
            raise InputError(f"{name} allows {allowed} processes and threads: {needed}")


def _process_limits() -> Iterator[tuple[str, int, int]]:
    """Yield each limit: its name, the number of processes and threads that it allows, the number in use."""
    for controller in ("", "pids"):
        for path in _cgroup_files(controller, "pids.max"):
            for allowed in _numbers([path]):
                yield str(path), allowed, sum(_numbers([path.with_name("pids.current")]))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if allowed != resource.RLIM_INFINITY and os.getuid():  # root is exempt
        yield "ulimit -u", allowed, _num_tasks_of_user()


def _num_tasks_of_user() -> int:
    tasks = 0
    for process in PROCESSES.glob("[0-9]*"):
        try:
            if process.stat().st_uid == os.getuid():
                tasks += len(list((process / "task").iterdir()))
        except OSError:  # it has ended
            continue
    return tasks


def _cgroup_files(controller: str, name: str) -> list[Path]:
    """Return the files of this name in our control group and its ancestors, innermost first.

    Args:
        controller: controller of cgroup version 1; empty for version 2.
    """
    files = []
    for line in _text(OWN_CGROUPS).splitlines():
        _, controllers, group = line.split(":", 2)
        if controller in controllers.split(","):
            root = CGROUPS / controller
            folder = root / group.lstrip("/")
            files += [each / name for each in (folder, *folder.parents) if each.is_relative_to(root)]
    return [path for path in files if path.exists()]


def _numbers(files: list[Path]) -> list[int]:
    """Return the numbers in the files, without those that say `max`."""
    return [int(text) for text in map(str.strip, map(_text, files)) if text.isdecimal()]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def free_bytes(folder: Path) -> int:
    """Return the free space of the disk of a folder, which need not exist yet."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(existing).free
