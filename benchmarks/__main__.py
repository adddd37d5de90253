"""Run measurements by name: `python -m benchmarks NAME`, or `all`, which takes less than 20 minutes on 2 CPU cores.

Each prints a small table and appends it to benchmarks/results.md, with the versions and the machine.
"""

import argparse
import importlib
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.ratios import BenchmarkResult, as_markdown, as_table

NAMES = (
    "training_step",
    "data_pipeline",
    "memory",
    "short_trials",
    "overhead",
    "study_time",
    "commands",
    "gpu",
)
"""Modules here that have `measure(tiny) -> list[BenchmarkResult]`, of what the project does."""
EXPERIMENTS = ("seeds_together",)
"""Likewise, of what it does not do: run by name only."""
NEED_GPU = ("gpu",)
"""Those that say nothing without one."""
RESULTS = Path(__file__).parent / "results.md"


def run(name: str, *, tiny: bool, results: Path) -> list[BenchmarkResult]:
    """One benchmark: measured, printed and appended to the results."""
    measured: list[BenchmarkResult] = importlib.import_module(f"benchmarks.{name}").measure(tiny=tiny)
    Console().print(as_table(name, measured))
    with results.open("a") as file:
        file.write(as_markdown(name, measured))
    return measured


def main() -> None:
    """Parse, and run one or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*NAMES, *EXPERIMENTS, "all"])
    parser.add_argument("--tiny", action="store_true", help="see that it works; the figures then mean nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file to append to")
    asked = parser.parse_args()
    for name in NAMES if asked.name == "all" else (asked.name,):
        if name in NEED_GPU and not (asked.tiny or torch.cuda.is_available()):
            told = f"{name} needs a GPU, and PyTorch finds none; --tiny shows that it works"
            if asked.name != "all":
                parser.exit(2, f"{told}\n")
            print(told)
            continue
        run(name, tiny=asked.tiny, results=asked.results)


if __name__ == "__main__":
    main()
