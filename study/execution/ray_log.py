"""The log file of a launch: the output of Ray, its workers, libraries. It would break the view on the terminal."""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from ray._private.ray_logging import global_worker_stdstream_dispatcher
from ray._private.worker import filter_autoscaler_events

from study.layout import LOGS

MAX_LOGS = 20
"""Log files that a store keeps, the newest ones."""
STDERR = 2
"""Descriptor to which C code writes errors, whatever Python's `sys.stderr` is."""
WORKER_OUTPUT = "study_log"
"""Name of the function that Ray calls with what workers print; by default `ray_print_logs` prints it."""


def new_log(root: Path) -> Path:
    """Return the path of a new log file in a store's folder, and remove old ones."""
    folder = root / LOGS
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("*"))[: -MAX_LOGS + 1]:
        with suppress(OSError):
            old.unlink()
    path = folder / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{os.getpid()}.log"
    path.touch()
    return path


@contextmanager
def launch_log(root: Path, log: Callable[[str], None]) -> Iterator[Path]:
    """Keep the output of Ray and its workers in a new log file of a store, and show its path.

    Args:
        log: called with the line that shows it.
    """
    path = new_log(root)
    log(f"log of Ray and its workers: {path}")
    with logged_to(path):
        yield path


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Append to a file, while the context is active, what is not the study's own output.

    That is: what workers print, on whichever node they are; log records of Ray; Python's warnings; and what C code
    writes to this process's stderr. `sys.stderr` still is where it was.
    """
    with path.open("a", buffering=1, errors="backslashreplace") as file, _c_errors_to(file), _records_to(file):
        global_worker_stdstream_dispatcher.add_handler(WORKER_OUTPUT, lambda data: _write_output(file, data))
        try:
            yield
        finally:
            global_worker_stdstream_dispatcher.remove_handler(WORKER_OUTPUT)


def drop_printer() -> None:
    """Let Ray no longer print what workers print. `ray.init` makes it do so."""
    global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")


def _write_output(file: TextIO, data: Mapping[str, Any]) -> None:
    name = data.get("actor_name") or data.get("task_name") or ""
    place = "" if data.get("ip") == data.get("localhost") else f", ip={data.get('ip')}"
    lines = data.get("lines", [])
    for line in filter_autoscaler_events(lines) if data.get("pid") == "autoscaler" else lines:
        file.write(f"({name} pid={data.get('pid')}{place}) {line}\n")


@contextmanager
def _records_to(file: TextIO) -> Iterator[None]:
    """Write log records of Ray and Python's warnings to a file, and nowhere else."""
    handler = logging.StreamHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger("ray"), logging.getLogger("py.warnings")]
    former = [(each.handlers, each.propagate) for each in loggers]
    for each in loggers:
        each.handlers, each.propagate = [handler], False
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for each, (handlers, propagate) in zip(loggers, former, strict=True):
            each.handlers, each.propagate = handlers, propagate


@contextmanager
def _c_errors_to(file: TextIO) -> Iterator[None]:
    """Redirect the descriptor of stderr to a file; `sys.stderr` writes to where that pointed before."""
    former = sys.stderr
    copy = os.dup(STDERR)
    try:
        writes_there = former.fileno() == STDERR
    except (AttributeError, OSError, ValueError):  # not a file
        writes_there = False
    if writes_there:
        former.flush()
        sys.stderr = os.fdopen(os.dup(copy), "w", buffering=1, errors="backslashreplace")
    os.dup2(file.fileno(), STDERR)
    try:
        yield
    finally:
        os.dup2(copy, STDERR)
        os.close(copy)
        if writes_there:
            sys.stderr.close()
            sys.stderr = former
