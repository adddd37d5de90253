"""Time of 16 short trials, as a ratio to the way that Ray's documentation shows.

    python -m benchmarks short_trials

Both train the same trials, of about .2 s with 5 reports, one per CPU at a time, and record them in MLflow. Both are
timed from the start of the interpreter to its exit. Ours is `run_study.py run`. Ray's documentation passes a function
to Tuner, which starts a process for each trial, with an MLflowLoggerCallback.
"""

import io
import logging
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.studies.short import SPACE

if TYPE_CHECKING:
    from benchmarks.ratios import BenchmarkResult

ROOT = Path(__file__).parent.parent
NUM_TRIALS, ROUNDS = 16, 1
STUDY = ROOT / "benchmarks" / "studies" / "short.py"
DOCUMENTED = """
import sys
from pathlib import Path
from benchmarks.short_trials import documented
documented(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
"""


def measure(*, tiny: bool) -> "list[BenchmarkResult]":
    """Measure both on empty stores, interleaved."""
    from benchmarks.ratios import (  # lazy: the timed processes import this module
        BenchmarkResult,
        format_spread,
        ratios,
        time_interleaved,
    )
    from revit.datasets.image_store import open_store

    count = 1 if tiny else NUM_TRIALS
    with tempfile.TemporaryDirectory() as name:
        cache = Path(name)
        images = open_store("digits", data_dir=cache, cache_dir=cache).folder
        ours, theirs = time_interleaved(ROUNDS, partial(_ours, count, cache), partial(_documented, count, images))
    shares = ratios(ours, theirs)
    return [
        BenchmarkResult(
            what=f"{count} short trials",
            against="the same as Ray's documentation shows, a process per trial",
            ratio=median(shares),
            target=1 / 8,
            at_least=False,
            details=f"{format_spread(shares)}; {median(ours):.1f} s against {median(theirs):.1f} s",
        )
    ]


def _ours(count: int, cache: Path) -> float:
    with tempfile.TemporaryDirectory() as name:
        where = ["--store", f"{name}/mlruns", "--cache-dir", str(cache), "--data-dir", str(cache)]
        return _seconds("run_study.py", "run", str(STUDY), "--seeds", str(count), *where)


def _documented(count: int, images: Path) -> float:
    with tempfile.TemporaryDirectory() as name:
        return _seconds("-c", DOCUMENTED, str(count), str(images), name)


def _seconds(*arguments: str) -> float:
    """Return the time of a Python process, from start to exit."""
    from benchmarks.ratios import time_call

    command = [sys.executable, *arguments]
    return time_call(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=True))


def documented(count: int, images: Path, folder: Path) -> None:
    """Train the trials of SPACE as Ray's guides to Tune and MLflow show.

    Args:
        images: folder of the image store.
        folder: folder for the files of Tune and MLflow.
    """
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    def train(params: dict[str, Any]) -> None:  # nested, so that workers receive it by value
        import torch

        from revit.config import from_dict
        from revit.datasets.image_store import ImageStore
        from revit.models.weights import find_weights
        from revit.training.fine_tune import TrialData, fine_tune

        torch.set_num_threads(1)
        config = from_dict({**params["config"], "seed": params["seed"]})
        data = TrialData.from_store(config, ImageStore(Path(params["images"])), find_weights(config.model))
        fine_tune(config, data, lambda rows, state: tune.report(rows[-1]), device=torch.device("cpu"))

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    mlflow = MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name="short")
    config = asdict(SPACE.candidates((0,))[0].config)
    tuner = tune.Tuner(
        train,
        param_space={"config": config, "images": str(images), "seed": tune.grid_search(list(range(count)))},
        run_config=tune.RunConfig(name="short", storage_path=str(folder), callbacks=[mlflow]),
    )
    with redirect_stdout(io.StringIO()):
        results = tuner.fit()
    assert results.num_errors == 0 and results.num_terminated == count
