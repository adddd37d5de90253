"""What a trial costs beside its training, held against Ray Tune alone: of tiny trials, 200 and then 1,000.

    python -m benchmarks overhead

Ours is a whole launch, with its queue, leases, events and MLflow; Ray Tune alone trains the same in reused workers and
keeps what it keeps by default, without MLflow. Both are timed from when Ray is up, each in a process of its own. What
the training itself takes is measured in Ray's workers and taken off both.
"""

import io
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import ray
from ray import tune
from rich.console import Console

from benchmarks.ratios import Measured
from revit.config import FineTuneConfig
from revit.datasets.store import open_store
from search_spaces.space import SearchSpace
from study.ledger import Ledger
from study.orders import Resources
from study.plan import Folders, make_plan
from study.runner import run_plan, start_ray

FEW, MANY = 200, 1000
WARM_AFTER = 100
"""Trials after which the driver has loaded all that it uses: from then on its memory should stay as it is."""
MOST_GROWTH = 100e6
"""Bytes."""
SPACE = SearchSpace(
    name="tiny",
    question="What does a trial cost beside its training?",
    base=FineTuneConfig(
        dataset="digits", resolution=8, crop_scale=(0.6, 1.0), flip=False, batch_size=32, steps=5, num_evals=1
    ),
    scientific={"optimizer.name": ("sgd",)},
)
"""Trials that report five times; their seeds make them many."""


class Ours(NamedTuple):
    """A launch of ours.

    Attributes:
        seconds: from when Ray is up until all is written and Tune's folders are gone.
        growth: bytes that the driver had more at the end than after WARM_AFTER trials.
    """

    seconds: float
    growth: int


class Alone(NamedTuple):
    """Ray Tune alone.

    Attributes:
        seconds: from when Ray is up until it returns.
        work_s: seconds of training, over all trials, reports excluded.
        slots: trials at a time.
    """

    seconds: float
    work_s: float
    slots: int


def measure(*, tiny: bool) -> list[Measured]:
    """Few trials of each, then many of each."""
    few, many = (4, 6) if tiny else (FEW, MANY)
    warm_after = 2 if tiny else WARM_AFTER
    call: Callable[..., Any] = _here if tiny else _apart
    ours_few, alone_few = call(ours, few, warm_after), call(alone, few)
    alone_many, ours_many = call(alone, many), call(ours, many, warm_after)
    per_trial = {}
    lines = []
    for count, mine, other in ((few, ours_few, alone_few), (many, ours_many, alone_many)):
        work = other.work_s / other.slots
        per_trial[count] = (mine.seconds - work) / count
        remarks = (
            f"{per_trial[count]:.3f} s against {(other.seconds - work) / count:.3f} s; with the training "
            f"{mine.seconds / count:.3f} s against {other.seconds / count:.3f} s, {mine.seconds / other.seconds:.3g} times"
        )
        lines.append(
            Measured(
                what=f"overhead per trial, {count:,} trials, with MLflow",
                against="Ray Tune alone, workers reused, without MLflow",
                ratio=(mine.seconds - work) / (other.seconds - work),
                target=1.3,
                at_least=False,
                remarks=remarks,
            )
        )
    return [
        *lines,
        Measured(
            what=f"overhead per trial, {many:,} trials",
            against=f"of {few:,} trials",
            ratio=per_trial[many] / per_trial[few],
            target=1.2,
            at_least=False,
            remarks=f"{per_trial[many]:.3f} s against {per_trial[few]:.3f} s; {many:,} took {ours_many.seconds:.0f} s",
        ),
        Measured(
            what=f"growth of the driver's memory from trial {warm_after} to {many:,}",
            against=f"{MOST_GROWTH / 1e6:.0f} MB",
            ratio=ours_many.growth / MOST_GROWTH,
            target=1.0,
            at_least=False,
            remarks=f"{ours_many.growth / 1e6:.1f} MB",
        ),
    ]


def _here(function: Callable[..., Any], *arguments: object) -> Any:
    return function(*arguments)


def _apart(function: Callable[..., Any], *arguments: object) -> Any:
    """Call in a process of its own, in which nothing has happened yet, and which takes its Ray with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


class _Lines(io.StringIO):
    """A file for a line per ended trial; notes the memory of this process at one of them."""

    def __init__(self, note_at: int) -> None:
        super().__init__()
        self.noted = 0
        self._left = note_at

    def write(self, text: str) -> int:
        self._left -= text.count("\n")
        if self._left <= 0 and not self.noted:
            self.noted = _memory()
        return len(text)


def _memory() -> int:
    """Bytes of this process that lie in memory."""
    size: int = psutil.Process().memory_info().rss
    return size


def ours(count: int, warm_after: int) -> Ours:
    """Launch a study of so many trials on an empty store."""
    start_ray()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = Folders(store=folder / "mlruns", data=folder, cache=folder / "cache")
        ledger = Ledger(folders.store)
        plan = make_plan(SPACE, tuple(range(count)), folders, {})
        lines = _Lines(warm_after)
        begun = time.perf_counter()
        result = run_plan(plan, ledger, Console(file=lines), Resources(), {})
        seconds = time.perf_counter() - begun
        growth = _memory() - lines.noted
    ended = list(result.outcomes.values())
    if ended != ["finished"] * count:
        raise RuntimeError(f"not all of {count} trials finished: {result}")
    return Ours(seconds, growth)


def alone(count: int) -> Alone:
    """Train the same trials as Ray's users write it, with workers that are reused."""

    def train(params: dict[str, Any]) -> None:  # in here, so that workers get it by value, and import no more than this
        import torch

        from revit.config import from_dict
        from revit.datasets.store import ImageStore
        from revit.fine_tune import TrialData, fine_tune
        from revit.weights import find_weights

        torch.set_num_threads(1)
        config = from_dict({**params["config"], "seed": params["seed"]})
        waited = 0.0

        def report(rows: list[dict[str, float]], _: object) -> None:
            nonlocal waited
            since = time.perf_counter()
            tune.report({**rows[-1], "work_s": since - begun - waited})
            waited += time.perf_counter() - since

        begun = time.perf_counter()
        data = TrialData.of(config, ImageStore(Path(params["images"])), find_weights(config.model))
        result = fine_tune(config, data, report, device=torch.device("cpu"))
        work_s = time.perf_counter() - begun - waited
        tune.report({**result.metrics, "work_s": work_s})

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    slots = int(ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]  # Ray leaves it so
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = open_store("digits", data_dir=folder, cache_dir=folder / "cache").folder
        config = asdict(SPACE.candidates((0,))[0].config)
        space = {"images": str(images), "config": config, "seed": tune.grid_search(list(range(count)))}
        begun = time.perf_counter()
        results = tune.Tuner(
            train,
            param_space=space,
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(name="alone", storage_path=str(folder / "tune"), verbose=0),
        ).fit()
        seconds = time.perf_counter() - begun
    works = [result.metrics["work_s"] for result in results]
    return Alone(seconds, sum(works), slots)
