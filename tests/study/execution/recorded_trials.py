"""Two trials of a search in a real store, with their launch and their recorder."""

from pathlib import Path

from mlflow import MlflowClient

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.execution.recorder import Recorder
from study.layout import ARTIFACTS, NEEDED_FILES, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan
from study.trial import Trial

SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=5),
    scientific={"optimizer.name": ("sgd", "adam"), "model.pos_embed": ("none",)},
    nuisance={"optimizer.lr": (0.1,)},
    seeds=(0,),
)


class Store:
    """A real store, a launch in it, and a recorder of two trials."""

    def __init__(self, folder: Path, cache_dir: Path) -> None:
        self.ledger = Ledger(folder)
        self.client = MlflowClient(self.ledger.uri)
        plan = make_plan(SPACE, SPACE.seeds, Folders(store=folder, data=folder, cache=cache_dir), {})
        self.trials: list[Trial] = [plan.planner.ask(search, {}).trials[0] for search in plan.searches]
        self.launch = self.ledger.launches.open("example", {})
        self.lines: list[str] = []
        self.recorder = Recorder(
            self.ledger,
            launches={"example": self.launch},
            trials={trial.identity: trial for trial in self.trials},
            locks=Locks(folder / "locks"),
            log=self.lines.append,
        )
        self.files = {trial.identity: folder / WORK / trial.identity / ARTIFACTS for trial in self.trials}
        for files in self.files.values():
            files.mkdir(parents=True)
            for name in NEEDED_FILES:
                (files / name).touch()

    def finish(self, identity: str) -> None:
        """Record a trial from its start to its end."""
        self.recorder.start_trial(identity)
        self.recorder.add_rows(identity, [{"step": 5, "lr": 0.1}])
        self.recorder.add_rows(identity, [{"step": 5, "test_accuracy": 0.5, "train_time_s": 1.0}])
        self.recorder.end_trial(identity, TrialState.FINISHED)

    def kept(self) -> list[str]:
        """Return the trials whose work folders are there."""
        return [identity for identity, files in self.files.items() if files.exists()]

    def statuses(self) -> dict[str, str]:
        runs = self.client.search_runs(["1"])
        return {run.data.tags.get("identity", "launch"): run.info.status for run in runs}
