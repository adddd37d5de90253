"""Studies that run against one store, for tests of the runner."""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from rich.console import Console

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.execution.recorder import RunResult
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.ledger.ledger import Ledger
from study.ledger.schema import EXPERIMENT
from study.plan import Folders, Plan
from study.planning import make_plan

QUIET = Console(quiet=True)
BASE = FineTuneConfig(
    dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=12, num_evals=3
)
SPACE = SearchSpace(
    name="example",
    question="Does it run?",
    base=BASE,
    scientific={"optimizer.name": ("sgd", "adam"), "schedule.name": ("cosine", "constant")},
    seeds=(0, 1),
)


class Studies:
    """Runs spaces against one store."""

    def __init__(self, root: Path) -> None:
        self.folders = Folders(store=root / "mlruns", data=root / "data", cache=root / "cache")
        self.ledger = Ledger(self.folders.store)
        self.client = MlflowClient(self.ledger.uri)

    def plan(self, space: SearchSpace) -> Plan:
        return make_plan(space, space.seeds, self.folders, self.ledger.trials())

    def run(self, space: SearchSpace) -> tuple[Plan, RunResult]:
        plan = self.plan(space)
        result = run_plans([plan], self.ledger, QUIET, ResourceRequest(), {"command": "test"})
        return plan.with_records(self.ledger.trials()), result

    def runs(self, kind: str) -> list[Run]:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        return list(self.client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'"))
