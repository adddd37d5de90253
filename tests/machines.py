"""Machines for tests: namespaces of Linux with a name, an address, processes and folders of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

from study import RAY_BEYOND_THIS_MACHINE

NEW = ["unshare", "--net", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc"]
IDLE = ["sleep", "infinity"]
FIRST = f"{' '.join(IDLE)} & while :; do wait; done"  # process 1 of a machine has to wait for those without a parent


def can_be_made() -> bool:
    """Return whether this process may make them: as root, outside of a container without privileges."""
    try:
        return subprocess.run([*NEW, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class Machines:
    """Machines on one network. A process that is started on one is killed with it.

    Args:
        names: their host names. Two: a cable connects them.
        own_folders: a machine has an empty one of its own at each of these paths; it shares the others.
        hosts: file that is made: addresses by name.
    """

    def __init__(self, names: tuple[str, str], own_folders: Sequence[Path], hosts: Path) -> None:
        self._own_folders = own_folders
        self._processes = {name: subprocess.Popen([*NEW, "bash", "-c", FIRST]) for name in names}
        addresses = {name: f"10.77.0.{number}" for number, name in enumerate(names, 1)}
        lines = [f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **addresses}.items()]
        hosts.write_text("".join(lines))
        self.enter = {name: ["nsenter", *self._namespaces(name)] for name in names}
        first, second = names
        ends = f"ip link add cable type veth peer name cable netns /proc/{self._inner(second)}/ns/net"
        subprocess.run(["nsenter", "--net", "--target", str(self._inner(first)), *ends.split()], check=True)
        for name in names:
            self.run(name, f"hostname {name}; ip link set lo up; ip link set cable up")
            self.run(name, f"ip address add {addresses[name]}/24 dev cable; mount --bind {hosts} /etc/hosts")
            for folder in own_folders:
                folder.mkdir(parents=True, exist_ok=True)
                self.run(name, f"mount -t tmpfs tmpfs {folder}")

    def _inner(self, name: str) -> int:
        """Return the process on this side that is process 1 on the machine."""
        outer = psutil.Process(self._processes[name].pid)
        while not (found := outer.children()):
            time.sleep(0.01)
        return int(found[0].pid)

    def _namespaces(self, name: str) -> list[str]:
        return ["--net", "--pid", "--mount", "--uts", f"--target={self._inner(name)}"]

    def run(self, name: str, script: str) -> None:
        """Run a script of bash on a machine."""
        subprocess.run([*self.enter[name], "bash", "-ec", script], check=True)

    def start(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: IO[str]
    ) -> "subprocess.Popen[str]":
        """Start a command on a machine, whose Ray may be reached from others."""
        inherited = {name: value for name, value in os.environ.items() if name != RAY_BEYOND_THIS_MACHINE}
        return subprocess.Popen(
            [*self.enter[name], "env", f"--chdir={cwd}", *command],
            env={**inherited, **env},
            text=True,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def start_ray(self, name: str, *options: str, folder: Path, ray_folder: Path) -> None:
        """Start a node of Ray on a machine. Its home folder cannot be written.

        Args:
            folder: of its output.
            ray_folder: of its files, of which each machine needs its own.
        """
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options]
        with (folder / f"{name}.out").open("w") as output:
            env = {"HOME": "/dev/null", "RAY_TMPDIR": str(ray_folder)}
            started = self.start(name, command, env=env, cwd=folder, output=output)
        assert started.wait(120) == 0, (folder / f"{name}.out").read_text()

    def processes(self, name: str) -> list[str]:
        """Return the names of the processes on a machine, but for those that keep it."""
        first = psutil.Process(self._inner(name))
        return [each.name() for each in first.children(recursive=True) if each.cmdline() != IDLE]

    def __enter__(self) -> "Machines":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        for folder in self._own_folders:
            folder.rmdir()
