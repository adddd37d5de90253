"""Run measurements by name: `python -m benchmarks NAME`, or `all`, which takes less than half an hour on 2 CPU cores.

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
    "search",
    "packing",
    "idle_time",
    "cpu_slots",
    "gpu",
)
"""Modules with `measure(tiny) -> list[BenchmarkResult]` that measure the project."""
LONG = ("scale", "sequential")
"""Modules that measure the project for more than half an hour: run by name only."""
EXPERIMENTS = ("seeds_together",)
"""Modules that measure what the project does not do: run by name only."""
PAPERS = ("trained_parts",)
"""Modules that measure what papers state of time and memory: run by name only."""
NEED_GPU = ("gpu", "trained_parts")
"""Modules that need a GPU."""
RESULTS = Path(__file__).parent / "results.md"


def run(name: str, *, tiny: bool, results: Path) -> list[BenchmarkResult]:
    """Run one benchmark, print its table and append it to the results."""
    measured: list[BenchmarkResult] = importlib.import_module(f"benchmarks.{name}").measure(tiny=tiny)
    Console().print(as_table(name, measured))
    with results.open("a") as file:
        file.write(as_markdown(name, measured))
    return measured


def main() -> None:
    """Run one benchmark, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*NAMES, *LONG, *EXPERIMENTS, *PAPERS, "all"])
    parser.add_argument("--tiny", action="store_true", help="run at a tiny size, without meaningful figures")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file to append to")
    options = parser.parse_args()
    for name in NAMES if options.name == "all" else (options.name,):
        if name in NEED_GPU and not (options.tiny or torch.cuda.is_available()):
            message = f"{name} needs a GPU, and PyTorch finds none; --tiny runs without one"
            if options.name != "all":
                parser.exit(2, f"{message}\n")
            print(message)
            continue
        run(name, tiny=options.tiny, results=options.results)


if __name__ == "__main__":
    main()
