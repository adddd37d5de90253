"""Two ways of doing the same, timed in turns in one run: machines are shared, so only their ratio means anything."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
from rich.table import Table

LIBRARIES = ("torch", "torchvision", "timm", "ray", "mlflow")
HEADINGS = ("what", "against", "ratio", "target", "met", "remarks")


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """One line of a benchmark's table.

    Attributes:
        what: measured.
        against: what it is divided by.
        ratio: median over the rounds.
        target: what the ratio should reach; None where it is only told.
        at_least: the target is the least allowed, else the most.
        remarks: the spread, the absolute figures, and whatever else tells how the ratio came about.
    """

    what: str
    against: str
    ratio: float
    target: float | None
    at_least: bool
    remarks: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target

    def cells(self) -> tuple[str, ...]:
        """The line as text, in the order of HEADINGS."""
        sign = "≥" if self.at_least else "≤"
        target = "" if self.target is None else f"{sign} {self.target:.3g}"
        met = {True: "yes", False: "no", None: ""}[self.met]
        return self.what, self.against, f"{self.ratio:.3g}", target, met, self.remarks


def time_call(work: Callable[[], object]) -> float:
    """How long a call takes by the clock."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def time_interleaved(rounds: int, *timed: Callable[[], float]) -> list[list[float]]:
    """Seconds of each function in each round, (functions, rounds); they take turns, and who begins changes.

    Args:
        timed: functions that time themselves and return seconds.
    """
    seconds: list[list[float]] = [[] for _ in timed]
    for number in range(rounds):
        order = range(len(timed)) if number % 2 == 0 else reversed(range(len(timed)))
        for place in order:
            seconds[place].append(timed[place]())
    return seconds


def ratios(above: list[float], below: list[float]) -> list[float]:
    """The ratio in each round."""
    return [one / other for one, other in zip(above, below, strict=True)]


def format_spread(values: list[float]) -> str:
    """Median of some figures and how far they reach: `1.02 (.98 to 1.1, n 5)`."""
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g}, n {len(values)})"


def environment() -> str:
    """Versions and the machine, on one line."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"Python {platform.python_version()}, {libraries}; {_processor()}, {os.cpu_count()} cores{gpu}"


def _processor() -> str:
    """Model of the processor, where Linux tells."""
    try:
        with Path("/proc/cpuinfo").open() as info:
            models = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    except OSError:
        models = []
    return models[0] if models else platform.machine()


def as_table(name: str, measured: list[BenchmarkResult]) -> Table:
    """The table for a terminal."""
    table = Table(title=name)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for line in measured:
        table.add_row(*line.cells())
    return table


def as_markdown(name: str, measured: list[BenchmarkResult]) -> str:
    """The table in Markdown, under a heading with the date and the command."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(line.cells() for line in measured)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    when = time.strftime("%Y-%m-%d")
    return f"\n### {name}, {when}\n\n`python -m benchmarks {name}`. {environment()}.\n\n{table}\n"
