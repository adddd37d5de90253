"""Wall time of a study against its training time: 12 trials of some seconds, after Ray has started.

    python -m benchmarks study_time

The wall time is divided by the sum of the trials' `train_time_s` over the number of concurrent trials. That is the
time of training steps alone: building the model, validating, testing and saving count as overhead.
"""

import io
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

import search_spaces
from benchmarks.ratios import BenchmarkResult, time_call
from study.execution.cluster import find_nodes, start_ray
from study.execution.resources import ResourceRequest, grant_resources
from study.execution.runner import run_plans
from study.ledger.ledger import Ledger
from study.plan import Folders
from study.planning import make_plan


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Run quickstart on an empty store."""
    space = search_spaces.load("quickstart")
    if tiny:
        assert space.base is not None
        space = replace(space, base=space.base.with_values({"steps": 5, "resolution": 8}), seeds=(0,))
    start_ray()
    request = ResourceRequest()
    num_concurrent = grant_resources(request, find_nodes()).max_concurrent_trials
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders = Folders(store=folder / "mlruns", data=folder, cache=folder / "cache")
        ledger = Ledger(folders.store)
        plan = make_plan(space, space.seeds, folders, {})
        seconds = time_call(lambda: run_plans([plan], ledger, Console(file=io.StringIO()), request, {}))
        trained = [record.metrics["train_time_s"] for record in ledger.trials().values()]
    total = sum(trained)
    return [
        BenchmarkResult(
            what=f"{len(plan.trials)} trials of {space.name}, after Ray has started",
            against=f"their training steps, {num_concurrent} at a time",
            ratio=seconds * num_concurrent / total,
            target=1.15,
            at_least=False,
            details=f"{seconds:.1f} s against {total:.1f} s / {num_concurrent}, {total / len(trained):.1f} s a trial",
        )
    ]
