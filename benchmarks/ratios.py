"""Ratios of interleaved timings. Machines are shared, so only the ratio of two timings in one run is meaningful."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median, stdev

from rich.table import Table
from scipy import special

LIBRARIES = ("torch", "torchvision", "timm", "ray", "mlflow")
HEADINGS = ("what", "against", "ratio", "target", "met", "details")


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult:
    """One line of a benchmark's table.

    Attributes:
        what: the quantity that is measured.
        against: the quantity that it is divided by.
        ratio: median over the rounds.
        target: bound on the ratio; None if the ratio is only reported.
        at_least: True if the target is a lower bound, False if it is an upper bound.
        details: spread and absolute figures.
    """

    what: str
    against: str
    ratio: float
    target: float | None
    at_least: bool
    details: str = ""

    @property
    def met(self) -> bool | None:
        """True if the target is met; None without a target."""
        if self.target is None:
            return None
        return self.ratio >= self.target if self.at_least else self.ratio <= self.target

    def cells(self) -> tuple[str, ...]:
        """Return the line as text, in the order of HEADINGS."""
        sign = "≥" if self.at_least else "≤"
        target = "" if self.target is None else f"{sign} {self.target:.3g}"
        met = {True: "yes", False: "no", None: ""}[self.met]
        return self.what, self.against, f"{self.ratio:.3g}", target, met, self.details


def time_call(work: Callable[[], object]) -> float:
    """Return the wall time of a call, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def time_interleaved(rounds: int, *timed: Callable[[], float]) -> list[list[float]]:
    """Return the seconds of each function in each round, (functions, rounds); every other round runs in reverse.

    Args:
        rounds: number of rounds.
        timed: functions that time themselves and return seconds.
    """
    seconds: list[list[float]] = [[] for _ in timed]
    for number in range(rounds):
        order = range(len(timed)) if number % 2 == 0 else reversed(range(len(timed)))
        for index in order:
            seconds[index].append(timed[index]())
    return seconds


def ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    """Return the ratio in each round."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def format_spread(values: list[float]) -> str:
    """Return median and range of some values: `1.02 (0.98 to 1.1, n 5)`."""
    return f"{median(values):.3g} ({min(values):.3g} to {max(values):.3g}, n {len(values)})"


def format_mean(values: Sequence[float]) -> str:
    """Return the mean of some values with its 95 % interval by Student's t: `0.12 (95 %: 0.1 to 0.14, n 5)`."""
    half_width = special.stdtrit(len(values) - 1, 0.975) * stdev(values) / len(values) ** 0.5
    mean = fmean(values)
    return f"{mean:.3g} (95 %: {mean - half_width:.3g} to {mean + half_width:.3g}, n {len(values)})"


def environment() -> str:
    """Return versions and machine, on one line."""
    import torch  # a launch that is measured in this process has no need for it

    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"Python {platform.python_version()}, {libraries}; {_processor()}, {os.cpu_count()} cores{gpu}"


def _processor() -> str:
    """Return the model of the processor; on other systems than Linux the architecture."""
    try:
        with Path("/proc/cpuinfo").open() as info:
            models = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    except OSError:
        models = []
    return models[0] if models else platform.machine()


def as_table(name: str, measured: list[BenchmarkResult]) -> Table:
    """Return the table for a terminal."""
    table = Table(title=name)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for line in measured:
        table.add_row(*line.cells())
    return table


def as_markdown(name: str, measured: list[BenchmarkResult]) -> str:
    """Return the table in Markdown, under a heading with date and command."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(line.cells() for line in measured)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    when = time.strftime("%Y-%m-%d")
    return f"\n### {name}, {when}\n\n`python -m benchmarks {name}`. {environment()}.\n\n{table}\n"
