"""Launches of one trial, each with another number of workers; all but the last are interrupted.

    python -m tests.study.execution.grouped_launch FOLDER ADDRESS NUM_WORKERS...

The module `recorder` of the optimizer lies in FOLDER. Prints the state of the trial after each launch, its step, and
the number of its workers.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from unittest.mock import PropertyMock, patch

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from tests.study.execution.stores import QUIET, Studies

CONFIG = FineTuneConfig(
    dataset="digits", resolution=8, crop_scale=(0.6, 1.0), batch_size=16, steps=120, num_evals=30
).with_values({"mixup": 0.4, "model.dropout": 0.2, "model.drop_path": 0.2, "optimizer.name": "recorder:make"})
RECORDER = """
import socket, time
from pathlib import Path
import torch
from torch import distributed as dist

class Recorder(torch.optim.SGD):
    # Writes its first gradients and its host. It is slow enough for an interruption.
    is_first = True

    def step(self):
        if self.is_first:
            self.is_first = False
            rank, size = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
            path = Path(__FOLDER__) / f"{size}-{rank}.pt"
            if not path.exists():
                gradients = [each.grad.clone() for group in self.param_groups for each in group["params"]]
                torch.save({"gradients": gradients, "host": socket.gethostname()}, path)
        time.sleep(0.05)
        super().step()

def make(groups, config):
    return Recorder(groups, lr=config.lr, momentum=config.momentum)
"""


def space() -> SearchSpace:
    return SearchSpace(name="grouped", question="?", base=CONFIG, scientific={"optimizer.lr": (0.03,)}, seeds=(0,))


def interrupt_once_saved(folder: Path, since: float) -> None:
    """Send Ctrl-C to this process once a checkpoint is there that is younger than the launch."""
    while not any(path.stat().st_mtime > since for path in folder.rglob("checkpoint.pt")):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


def main(folder: Path, address: str, numbers: list[int]) -> None:
    sys.path.insert(0, str(folder))
    studies = Studies(folder)
    for launch, num_workers in enumerate(numbers, 1):
        if launch < len(numbers):
            watch = threading.Thread(
                target=interrupt_once_saved, args=(studies.folders.store, time.time()), daemon=True
            )
            watch.start()
        with patch.object(ResourceRequest, "num_workers", PropertyMock(return_value=num_workers)):
            plan = studies.plan(space())
            result = run_plans([plan], studies.ledger, QUIET, ResourceRequest(address=address), {"command": "test"})
        [trial] = studies.plan(space()).trials
        assert trial.record is not None, result
        print(trial.state, trial.record.last_step, trial.record.tags["workers"], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(each) for each in sys.argv[3:]])
