"""A launch on four fake GPUs whose trials sleep in proportion to their steps, in a process of its own.

    python -m tests.study.execution.sleeping_launch FOLDER STUDIES SECONDS_PER_STEP

What trials do is appended to FOLDER/events, a JSON object a line.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from revit.config import FineTuneConfig
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace

NUM_GPUS = 4
BASE = FineTuneConfig(dataset="digits", resolution=8, steps=4000, num_evals=1)
TOO_LARGE = 4000
"""Steps of the trial that runs out of memory unless it has its node to itself."""
STUDIES = {
    "known": SearchSpace(
        name="known",
        question="?",
        base=BASE,
        scientific={"steps": tuple(range(500, 8000, 500))},
        seeds=(0,),
    ),
    "searched": SearchSpace(
        name="searched",
        question="?",
        base=BASE,
        scientific={"optimizer.name": ("sgd", "adam")},
        nuisance={"optimizer.lr": (0.01, 0.02, 0.03)},
        search=Search(),
        seeds=(0, 1),
    ),
}


def sleeper(folder: Path, s_per_step: float, *, may_fail: bool) -> Callable[[dict[str, Any]], None]:
    """Return a trial that sleeps. It is nested so that Ray takes it along by value."""
    too_large = TOO_LARGE if may_fail else None

    def sleep(params: dict[str, Any]) -> None:
        import json
        import os
        import time

        from ray import tune

        from study.ledger.states import TrialState

        task = params["task"]
        steps, exclusive = task.config["steps"], task.grant.num_cpus > 1

        def log(what: str) -> None:
            event = {"what": what, "identity": task.identity, "steps": steps, "exclusive": exclusive}
            place = {"pid": os.getpid(), "gpu": os.environ["CUDA_VISIBLE_DEVICES"], "at": time.time()}
            with (folder / "events").open("a") as file:
                file.write(json.dumps(event | place) + "\n")

        def report(**update: Any) -> None:
            tune.report({"identity": task.identity, "peak_bytes": 0, **update})

        log("start")
        artifacts = task.storage.folder / task.work / "artifacts"
        artifacts.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "built.json", "predictions.parquet"):
            (artifacts / name).touch()
        report(tags={"device": "fake GPU", "built": task.identity})
        if steps == too_large and not exclusive:
            log("end")
            raise MemoryError
        time.sleep(s_per_step * steps)
        results = {"step": steps, "train_time_s": s_per_step * steps, "selected_val_accuracy": 0.5}
        log("end")
        report(rows=[results], is_replay=False, saved=False, state=TrialState.FINISHED)

    return sleep


def main(folder: Path, studies: str, s_per_step: float) -> None:
    import os

    import ray
    from rich.console import Console

    from study.execution.cluster import QUIET_RAY
    from study.execution.resources import ResourceRequest
    from study.execution.runner import run_plans
    from study.ledger.ledger import Ledger
    from study.plan import Folders
    from study.planning import make_plan

    os.environ.update(QUIET_RAY)
    ray.init(num_cpus=NUM_GPUS, num_gpus=NUM_GPUS, include_dashboard=False, log_to_driver=False)
    folders = Folders(store=folder / "mlruns", data=folder, cache=folder / "cache")
    ledger = Ledger(folders.store)
    names = studies.split(",")
    plans = [make_plan(STUDIES[name], STUDIES[name].seeds, folders, {}) for name in names]
    sleep = sleeper(folder, s_per_step, may_fail="searched" not in names)
    with patch("study.execution.runner.train_trial", sleep):
        result = run_plans(plans, ledger, Console(), ResourceRequest(), {"command": "test"})
    print(json.dumps({"states": list(result.states.values()), "stop_reason": result.stop_reason}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
