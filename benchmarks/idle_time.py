"""Time that a GPU is idle between two trials of one slot: the next one is prepared, or not.

    python -m benchmarks idle_time

The device is a CPU in the place of a GPU: models write down when they compute. Trials run one at a time in a whole
launch, on Ray, with MLflow. The time between the last forward pass of one trial and the first one of the next
includes predictions, the ledger, Tune's loop, the model, its weights and the first batch.
"""

import os
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file

from benchmarks.ratios import BenchmarkResult
from benchmarks.studies import timed_model
from revit.config import FineTuneConfig, ModelConfig
from search_spaces.framework.space import SearchSpace
from study.execution.resources import ResourceGrant, ResourceRequest
from study.execution.runner import run_plans
from study.ledger.ledger import Ledger
from study.plan import Folders
from study.planning import make_plan

MAX_IDLE_S = 1.0
NUM_TRIALS, NUM_WARM = 8, 2
"""Trials of a launch, and how many of them warm the worker up."""
MODELS = {"vit_small": (28, 16, 200), "vit_base": (224, 4, 2)}
"""Resolution, batch size, steps."""


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure launches of small and of large models."""
    with tempfile.TemporaryDirectory() as name:
        times = Path(name) / "times"  # workers have the variable of the moment when Ray started
        with patch.dict(os.environ, {timed_model.FOLDER: str(times)}):
            return [
                _measure_model(Path(name), times, each, 3 if tiny else NUM_TRIALS)
                for each in (["vit_small"] if tiny else MODELS)
            ]


def _measure_model(folder: Path, times: Path, name: str, num_trials: int) -> BenchmarkResult:
    prepared, unprepared = (
        _idle_times(folder / name, times, name, num_trials, is_prepared=is_prepared) for is_prepared in (True, False)
    )
    return BenchmarkResult(
        what=f"idle time between {num_trials} trials of {name}, the next one prepared",
        against=f"{MAX_IDLE_S:.0f} s",
        ratio=median(prepared) / MAX_IDLE_S,
        target=1.0,
        at_least=False,
        details=f"{_spread(prepared)} prepared, {_spread(unprepared)} not",
    )


def _spread(seconds: list[float]) -> str:
    return f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def _idle_times(folder: Path, times: Path, name: str, num_trials: int, *, is_prepared: bool) -> list[float]:
    """Return the idle time before each trial of a launch, in seconds, except for those that warm up.

    Args:
        times: folder for the times of the models.
    """
    shutil.rmtree(times, ignore_errors=True)
    times.mkdir()
    resolution, batch_size, steps = MODELS[name]
    folder.mkdir(exist_ok=True)
    weights = folder / f"{name}.safetensors"
    if not weights.exists():
        save_file(getattr(timed_model, name)(2, resolution).state_dict(), weights)
    _write_images(folder / "images", resolution)
    base = FineTuneConfig(
        dataset=f"folder:{folder / 'images'}",
        resolution=resolution,
        batch_size=batch_size,
        steps=steps,
        num_evals=1,
        normalization="inception",
        model=ModelConfig(name=f"{timed_model.__name__}:{name}", pretrained=True, weights=str(weights)),
    )
    space = SearchSpace(
        name="idle", question="?", base=base, scientific={"optimizer.lr": (0.01,)}, seeds=tuple(range(num_trials))
    )
    folders = Folders(store=folder / f"store-{name}-{is_prepared}", data=folder, cache=folder / "cache")
    ledger = Ledger(folders.store)
    request = ResourceRequest(cpus_per_trial=os.cpu_count())
    with patch.object(ResourceGrant, "prepares_next", is_prepared):
        run_plans([make_plan(space, space.seeds, folders, {})], ledger, Console(quiet=True), request, {})
    return _gaps(times)[NUM_WARM - 1 :]


def _write_images(folder: Path, resolution: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        path = folder / ("test" if number % 3 == 0 else "train") / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (resolution, resolution, 3), np.uint8)).save(path)


def _gaps(times: Path) -> list[float]:
    """Return the seconds from the last forward pass of each model to the first one of the next."""
    passes = [line.split() for file in times.iterdir() for line in file.read_text().splitlines()]
    ordered = sorted((float(start), float(end), number) for number, start, end in passes)
    return [start - end for (_, end, one), (start, _, other) in pairwise(ordered) if one != other]
