"""Overhead of a trial: its time without training, as a ratio to Ray Tune alone, for 200 tiny trials, then for 1,000.

    python -m benchmarks overhead

Ours is a whole launch, with searcher, locks, callback and MLflow. Ray Tune alone trains the same trials in reused
workers, with its default records and without MLflow. Both are timed from the moment that Ray is up, each in its own
process. The time of training is measured in Ray's workers and subtracted from both.
"""

import gc
import io
import logging
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import ray
from ray import tune
from rich.console import Console

from benchmarks.ratios import BenchmarkResult
from revit.config import FineTuneConfig
from revit.datasets.image_store import open_store
from search_spaces.framework.space import SearchSpace
from study.cli.main import GC_THRESHOLDS
from study.execution.cluster import start_ray
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.layout import TUNE
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan

FEW_TRIALS, MANY_TRIALS = 200, 1000
NUM_WARMUP_TRIALS = 100
"""Trials after which the driver has loaded every module: its memory should not grow from then on."""
MAX_RATIO_TO_RAY, MAX_RATIO_TO_FEW = 1.3, 1.2
MAX_GROWTH_BYTES = 100e6
SPACE = SearchSpace(
    name="tiny",
    question="What does a trial cost beside its training?",
    base=FineTuneConfig(
        dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=32, steps=5, num_evals=1
    ),
    scientific={"optimizer.name": ("sgd",)},
)
"""Trials that report five times, one per seed."""


class LaunchTime(NamedTuple):
    """Time of a launch of this project.

    Attributes:
        seconds: from the moment that Ray is up until everything is written and Tune's folders are removed.
        growth: bytes by which the driver grew after the warm-up trials.
    """

    seconds: float
    growth: int


class TuneTime(NamedTuple):
    """Time of Ray Tune alone.

    Attributes:
        seconds: from the moment that Ray is up until `fit` returns.
        work_s: seconds of training in all trials, without reports.
        num_slots: concurrent trials.
    """

    seconds: float
    work_s: float
    num_slots: int


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure few trials, then many; if tiny, one launch of each, in this process."""
    few, many, num_warmup = (2, 2, 1) if tiny else (FEW_TRIALS, MANY_TRIALS, NUM_WARMUP_TRIALS)
    call: Callable[..., Any] = run_here if tiny else run_apart
    ours_few, alone_few = call(ours, few, num_warmup), call(alone, few)
    ours_many, alone_many = ours_few, alone_few
    if not tiny:
        alone_many, ours_many = call(alone, many), call(ours, many, num_warmup)
    few_s, many_s = _overhead_s(ours_few, alone_few, few), _overhead_s(ours_many, alone_many, many)
    return [
        _against_ray(ours_few, alone_few, few),
        _against_ray(ours_many, alone_many, many),
        BenchmarkResult(
            what=f"overhead per trial, {many:,} trials",
            against=f"of {few:,} trials",
            ratio=many_s / few_s,
            target=MAX_RATIO_TO_FEW,
            at_least=False,
            details=f"{many_s:.3f} s against {few_s:.3f} s; {many:,} trials took {ours_many.seconds:.0f} s",
        ),
        BenchmarkResult(
            what=f"growth of the driver's memory from trial {num_warmup} to {many:,}",
            against=f"{MAX_GROWTH_BYTES / 1e6:.0f} MB",
            ratio=ours_many.growth / MAX_GROWTH_BYTES,
            target=1.0,
            at_least=False,
            details=f"{ours_many.growth / 1e6:.1f} MB",
        ),
    ]


def _against_ray(mine: LaunchTime, other: TuneTime, count: int) -> BenchmarkResult:
    """Return the ratio of the overheads, with both in seconds per trial, and with the training."""
    mine_s, other_s = _overhead_s(mine, other, count), _overhead_s(other, other, count)
    with_training = f"{mine.seconds / count:.3f} s against {other.seconds / count:.3f} s"
    return BenchmarkResult(
        what=f"overhead per trial, {count:,} trials, with MLflow",
        against="Ray Tune alone, workers reused, without MLflow",
        ratio=mine_s / other_s,
        target=MAX_RATIO_TO_RAY,
        at_least=False,
        details=f"{mine_s:.3f} s against {other_s:.3f} s; with the training {with_training}, "
        f"{mine.seconds / other.seconds:.3g} times",
    )


def _overhead_s(timed: LaunchTime | TuneTime, other: TuneTime, count: int) -> float:
    """Return the seconds per trial without training, which is divided among the slots."""
    return (timed.seconds - other.work_s / other.num_slots) / count


def run_here(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in this process."""
    return function(*arguments)


def run_apart(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a new process, with its own Ray."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


class _Lines(io.StringIO):
    """File that counts lines, one per finished trial; records the memory of this process at one of them."""

    def __init__(self, record_at: int) -> None:
        super().__init__()
        self.recorded_bytes = 0
        self._left = record_at

    def write(self, text: str) -> int:
        self._left -= text.count("\n")
        if self._left <= 0 and not self.recorded_bytes:
            self.recorded_bytes = _memory()
        return len(text)


def _memory() -> int:
    """Return the resident bytes of this process."""
    size: int = psutil.Process().memory_info().rss
    return size


def ours(count: int, num_warmup: int) -> LaunchTime:
    """Run a study of `count` trials on an empty store."""
    start_ray()
    gc.set_threshold(*GC_THRESHOLDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = Folders(store=folder / "mlruns", data=folder, cache=folder / "cache")
        ledger = Ledger(folders.store)
        plan = make_plan(SPACE, tuple(range(count)), folders, {})
        lines = _Lines(num_warmup)
        begun = time.perf_counter()
        result = run_plans([plan], ledger, Console(file=lines), ResourceRequest(), {})
        seconds = time.perf_counter() - begun
        growth = _memory() - lines.recorded_bytes
    ended = list(result.states.values())
    if ended != [TrialState.FINISHED] * count:
        raise RuntimeError(f"not all of {count} trials finished: {result}")
    return LaunchTime(seconds, growth)


def alone(count: int) -> TuneTime:
    """Train the same trials with Ray Tune alone, in reused workers."""

    def train(params: dict[str, Any]) -> None:  # nested, so that workers receive it by value
        import torch

        from revit.config import from_dict
        from revit.datasets.image_store import ImageStore
        from revit.models.weights import find_weights
        from revit.training.fine_tune import TrialData, fine_tune

        torch.set_num_threads(1)
        config = from_dict({**params["config"], "seed": params["seed"]})
        waited = 0.0

        def report(rows: list[dict[str, float]], _: object) -> None:
            nonlocal waited
            since = time.perf_counter()
            tune.report({**rows[-1], "work_s": since - begun - waited})
            waited += time.perf_counter() - since

        begun = time.perf_counter()
        data = TrialData.from_store(config, ImageStore(Path(params["images"])), find_weights(config.model))
        result = fine_tune(config, data, report, device=torch.device("cpu"))
        work_s = time.perf_counter() - begun - waited
        tune.report({**result.metrics, "work_s": work_s})

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    slots = int(ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]  # Ray leaves it so
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = open_store("digits", data_dir=folder, cache_dir=folder / "cache").folder
        config = asdict(SPACE.candidates((0,))[0].config)
        space = {"images": str(images), "config": config, "seed": tune.grid_search(list(range(count)))}
        begun = time.perf_counter()
        with redirect_stdout(io.StringIO()):
            results = tune.Tuner(
                train,
                param_space=space,
                tune_config=tune.TuneConfig(reuse_actors=True),
                run_config=tune.RunConfig(name="alone", storage_path=str(folder / TUNE), verbose=0),
            ).fit()
        seconds = time.perf_counter() - begun
    if results.num_errors:
        raise RuntimeError(f"{results.num_errors} of {count} trials failed: {results.errors[0]}")
    metrics = [results[place].metrics or {} for place in range(count)]
    return TuneTime(seconds, sum(each["work_s"] for each in metrics), slots)
