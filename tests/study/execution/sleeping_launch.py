"""A launch on four fake GPUs whose trials do nothing, in a process of its own.

    python -m tests.study.execution.sleeping_launch FOLDER STUDIES SECONDS_PER_STEP

What happens is appended to FOLDER/events, a JSON object a line. Trials sleep in proportion to their steps. With 0
seconds per step, each trial ends as soon as every GPU has one, and it has run longest: so the order of what happens
does not depend on how busy the machine is. One of them then runs out of memory, unless it has its node to itself.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from revit.config import FineTuneConfig
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.trial import Trial

NUM_GPUS = 4
MAX_WAIT_S = 120
"""Seconds after which a trial waits no longer for trials on the other GPUs."""
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


def sleeper(folder: Path, s_per_step: float) -> Callable[[dict[str, Any]], None]:
    """Return a trial that sleeps. It is nested so that Ray takes it along by value."""

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

        def is_over() -> bool:
            """Return whether each GPU has a trial and this one has run longest; True after one was too large."""
            lines = (folder / "events").read_text().rpartition("\n")[0].splitlines()
            events = [(event["what"], event["identity"]) for event in map(json.loads, lines)]
            running = [identity for what, identity in events if what == "start" and ("end", identity) not in events]
            is_next = len(running) == NUM_GPUS and running[0] == task.identity
            return is_next or any(what in ("requeued", "waited in vain") for what, _ in events)

        log("start")
        artifacts = task.storage.folder / task.work / "artifacts"
        artifacts.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "built.json", "predictions.parquet"):
            (artifacts / name).touch()
        report(tags={"device": "fake GPU", "built": task.identity})
        if steps == TOO_LARGE and not exclusive and not s_per_step:
            log("end")
            raise MemoryError
        time.sleep(s_per_step * steps)
        until = time.monotonic() + MAX_WAIT_S
        while not s_per_step and not is_over():
            time.sleep(0.02)
            if time.monotonic() > until:
                log("waited in vain")
        results = {"step": steps, "train_time_s": s_per_step * steps, "selected_val_accuracy": 0.5}
        log("end")
        report(rows=[results], is_replay=False, saved=False, state=TrialState.FINISHED)

    return sleep


def main(folder: Path, studies: str, s_per_step: float) -> None:
    import ray
    from rich.console import Console

    from study.execution.cluster import start_ray
    from study.execution.resources import ResourceRequest
    from study.execution.runner import run_plans
    from study.forecast.queue import TrialQueue
    from study.ledger.ledger import Ledger
    from study.plan import Folders
    from study.planning import make_plan

    requeue = TrialQueue.requeue

    def requeue_and_log(queue: TrialQueue, trial: Trial, *, exclusively: bool = False) -> None:
        requeue(queue, trial, exclusively=exclusively)
        with (folder / "events").open("a") as file:
            file.write(json.dumps({"what": "requeued", "identity": trial.identity, "steps": 0}) + "\n")

    with patch("study.execution.cluster.ray.init", partial(ray.init, num_cpus=NUM_GPUS, num_gpus=NUM_GPUS)):
        start_ray()
    folders = Folders(store=folder / "mlruns", data=folder, cache=folder / "cache")
    ledger = Ledger(folders.store)
    plans = [make_plan(STUDIES[name], STUDIES[name].seeds, folders, {}) for name in studies.split(",")]
    with (
        patch("study.execution.runner.train_trial", sleeper(folder, s_per_step)),
        patch.object(TrialQueue, "requeue", requeue_and_log),
    ):
        result = run_plans(plans, ledger, Console(), ResourceRequest(), {"command": "test"})
    print(json.dumps({"states": list(result.states.values()), "stop_reason": result.stop_reason}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
