"""A launch without Tune, for tests of its plug-ins."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.execution.callback import TuneCallback
from study.execution.node_pool import NodePool
from study.execution.resources import Node, ResourceGrant, ResourceRequest
from study.execution.searcher import TrialSearcher
from study.execution.stopper import Stopper
from study.forecast.queue import queue_of
from study.ledger.locks import Locks
from study.plan import Folders, first_of_each
from study.planning import make_plan
from study.system.storage import Storage

SHARED = ResourceGrant(num_cpus=4, num_gpus=0.5, max_cpus=8, max_concurrent_trials=2)
WHOLE = ResourceGrant(num_cpus=8, num_gpus=1.0, max_cpus=8, max_concurrent_trials=1)
NODES = [Node(cpus=8, gpus=0, id="one", name="gpu1"), Node(cpus=4, gpus=0, id="two", name="gpu2")]
SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=100),
    scientific={"optimizer.lr": (0.1, 0.2)},
    seeds=(0,),
)


class FakeLaunch:
    """A launch without Tune, whose trials may share a GPU. It keeps what the recorder gets at the end of trials."""

    def __init__(self, root: Path, cache_dir: Path, grant: ResourceGrant, spaces: Sequence[SearchSpace] = ()) -> None:
        self.root = root
        folders = Folders(store=root, data=root, cache=cache_dir)
        self.plans = [make_plan(space, space.seeds, folders, {}) for space in spaces or (SPACE,)]
        to_run = first_of_each(trial for plan in self.plans for trial in plan.to_run).values()
        self.identities = [trial.identity for trial in to_run]
        storage = Storage(str(root))
        self.stopper = Stopper(SimpleNamespace(print=print), storage, "stop")
        locks = Locks(root / "locks")
        ledger = SimpleNamespace(find=lambda identity: None, root=root, storage=storage)
        known = {trial.identity: trial for trial in to_run}
        self.searcher = TrialSearcher(queue_of(self.plans, (), grant.device), known, grant, locks, ledger, self.stopper)
        self.pool = NodePool(ResourceRequest(cpus_per_trial=grant.num_cpus), lambda: NODES)
        self.resumed: list[str] = []
        self.ended: list[dict[str, Any]] = []
        quiet = {
            name: lambda *_, **__: None
            for name in ("add_rows", "add_tags", "begin_training", "refresh", "show", "start_trial")
        }
        self.recorder = recorder = SimpleNamespace(
            **quiet,
            error="",
            is_full=False,
            end_trial=lambda identity, state, artifacts, **details: self.ended.append({"state": state, **details}),
        )
        progress = SimpleNamespace(
            **quiet, end_trial=lambda *_, **__: None, requeue_trial=lambda identity, reason: self.resumed.append(reason)
        )
        plugins = self.searcher, self.stopper, locks, self.pool
        self.callback = TuneCallback(recorder, progress, self.plans, known, *plugins)

    def start(self) -> Any:
        """Let Tune ask for a trial, and a worker start it."""
        while (params := self.searcher.suggest("")) is None:
            pass
        trial = SimpleNamespace(config=params, pickled_error_file=None, error_file=None)
        self.callback.on_trial_start(0, [], trial)
        return trial

    def reach(self, trial: Any, step: int) -> None:
        self.callback.on_trial_result(0, [], trial, {"rows": [{"step": step}], "is_replay": False, "saved": False})

    def fail(self, trial: Any, error: BaseException) -> None:
        trial.pickled_error_file = self.root / "error.pkl"
        trial.pickled_error_file.write_bytes(pickle.dumps(error))
        self.callback.on_trial_error(0, [], trial)
