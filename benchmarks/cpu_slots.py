"""Images a second that all cores train: a trial of one thread on each core, against one trial with a thread per core.

    python -m benchmarks cpu_slots

Without a GPU, `run` trains one trial per core (`study.execution.resources.grant_resources`). Each trial is timed by its
wall clock, from its first step to its last, so that the machine has to be idle. The trials of a round begin together.
"""

import os
import tempfile
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch

from benchmarks.ratios import BenchmarkResult, format_spread, ratios, time_interleaved
from benchmarks.training_step import CASES, TINY, Case, time_steps
from revit.config import FineTuneConfig
from revit.datasets.image_store import open_store
from revit.models.weights import find_weights
from revit.training.fine_tune import TrialData

NUM_CORES = os.cpu_count() or 1


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure every case, interleaved, in processes that stay."""
    with (
        tempfile.TemporaryDirectory() as name,
        ProcessPoolExecutor(NUM_CORES, mp_context=get_context("spawn")) as workers,
    ):
        return [_measure(case, Path(name), workers) for case in (TINY if tiny else CASES)]


def _measure(case: Case, folder: Path, workers: Executor) -> BenchmarkResult:
    def seconds_per_trial(num_trials: int, num_threads: int) -> float:
        """Return the mean seconds of trials that run at a time, over their number."""
        tasks = [workers.submit(_train, case.config, folder, num_threads) for _ in range(num_trials)]
        return sum(task.result() for task in tasks) / num_trials**2

    shared, alone = partial(seconds_per_trial, NUM_CORES, 1), partial(seconds_per_trial, 1, NUM_CORES)
    shared(), alone()  # processes start, images are decoded
    by_slots, by_threads = time_interleaved(case.rounds, shared, alone)
    shares = ratios(by_threads, by_slots)
    num_images = case.config.batch_size * (case.config.steps or 0)
    rates = [num_images / median(seconds) for seconds in (by_slots, by_threads)]
    return BenchmarkResult(
        what=f"training images/s, {NUM_CORES} trials with a thread each, {case.name}",
        against=f"one trial with {NUM_CORES} threads",
        ratio=median(shares),
        target=1.0,
        at_least=True,
        details=f"{format_spread(shares)}; {rates[0]:.3g} against {rates[1]:.3g} images/s",
    )


def _train(config: FineTuneConfig, folder: Path, num_threads: int) -> float:
    """Return the seconds of a trial's steps."""
    torch.set_num_threads(num_threads)
    return time_steps(config, _data(config, folder)).wall_s


@cache
def _data(config: FineTuneConfig, folder: Path) -> TrialData:
    return TrialData.from_store(
        config, open_store("digits", data_dir=folder, cache_dir=folder), find_weights(config.model)
    )
