"""A launch of a searched study whose trials are recorded without training: a real ledger, locks, recorder; no Ray."""

from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from revit.config import FineTuneConfig
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.execution.point_asker import PointAsker
from study.execution.recorder import Recorder
from study.execution.resources import ResourceGrant
from study.execution.searcher import TrialSearcher
from study.execution.stopper import Stopper
from study.forecast.queue import queue_of
from study.inputs import Inputs
from study.layout import ARTIFACTS, LOCKS, NEEDED_FILES, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import SearchTag
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import Planner
from study.trial import Trial

BASE = FineTuneConfig(dataset="digits", resolution=8, batch_size=16, steps=12, num_evals=3)
Accuracy = Callable[[FineTuneConfig], float | TrialState]
"""Accuracy with which the trial of a config finishes, or how else it ends."""


def space_of(**changes: Any) -> SearchSpace:
    """Return a space of one cell that is searched by TPE for six points, with some attributes changed."""
    given = {
        "name": "asked",
        "question": "?",
        "base": BASE,
        "scientific": {"optimizer.name": ("sgd",)},
        "nuisance": {"optimizer.lr": Range(1e-4, 1e-1, log=True)},
        "search": Search(sampler="tpe", num_trials=6),
        "seeds": (0,),
        **changes,
    }
    return SearchSpace(**given)


def near(best: float) -> Accuracy:
    """Return accuracies that fall with the distance of the learning rate from the best one."""
    return lambda config: 1 / (1 + abs(config.optimizer.lr / best - 1))


class AskedStudy:
    """A launch of a study on a store. Others may run at the same time."""

    def __init__(self, ledger: Ledger, cache_dir: Path, space: SearchSpace, num_slots: int = 1) -> None:
        self.ledger, self.space = ledger, space
        self.folders = Folders(store=ledger.root, data=ledger.root, cache=cache_dir)
        self.planner = Planner(space, space.seeds, Inputs(self.folders.open_images, ()))
        self.locks = Locks(ledger.root / LOCKS)
        grant = ResourceGrant(num_cpus=1, num_gpus=0, max_cpus=1, max_concurrent_trials=num_slots)
        self.records = ledger.trials()
        plan = self.planner.plan(self.records)
        self.known = {trial.identity: trial for trial in plan.all_trials}
        launch = ledger.launches.open(space.name, {})
        self.recorder = Recorder(
            ledger, launches={space.name: launch}, trials=self.known, locks=self.locks, log=lambda line: None
        )
        self.prepared: list[Trial] = []
        self.asker = PointAsker(plan, self.records, ledger, self.locks, self.recorder, self.prepared.extend)
        self.stopper = Stopper(SimpleNamespace(print=print), ledger.storage, "stop")
        queue, askers = queue_of([plan], self.records.values(), "cpu"), {space.name: self.asker}
        self.searcher = TrialSearcher(queue, self.known, grant, self.locks, ledger, self.stopper, askers)

    def start(self) -> Trial | None:
        """Begin the next trial, and return it; None where there is none for now."""
        params = self.searcher.suggest("")
        if params in (None, TrialSearcher.FINISHED):
            return None
        trial = self.known[params["task"].identity]
        self.recorder.start_trial(trial.identity)
        return trial

    def end(self, trial: Trial, result: float | TrialState) -> None:
        """End a trial with an accuracy on validation images, or in another state."""
        self.searcher.end_trial(trial.identity)
        if isinstance(result, TrialState):
            self.stopper.pruning.end(trial.identity, result)
            if result == TrialState.PRUNED:
                self.recorder.add_rows(trial.identity, [{"step": 4, "val_accuracy": 0.1, "train_time_s": 1.0}])
            self.recorder.end_trial(trial.identity, result, failure="code" if result == TrialState.FAILED else "")
            return
        artifacts = self.ledger.root / WORK / trial.identity / ARTIFACTS
        artifacts.mkdir(parents=True, exist_ok=True)
        for name in NEEDED_FILES:
            (artifacts / name).touch()
        tested = {"test_accuracy": result} if trial.candidate.config.test else {}
        values = {"selected_val_accuracy": result} if trial.candidate.config.val_fraction else {}
        self.recorder.add_rows(trial.identity, [{"step": 12, "train_time_s": 1.0, **values, **tested}])
        self.stopper.pruning.end(trial.identity, TrialState.FINISHED)
        self.recorder.end_trial(trial.identity, TrialState.FINISHED)

    def run(self, accuracy: Accuracy, num_trials: int | None = None) -> list[Trial]:
        """Run trials one after the other, and return them; None for all that there are."""
        run: list[Trial] = []
        for _ in count() if num_trials is None else range(num_trials):
            trial = self.start()
            if trial is None:
                break
            run.append(trial)
            self.end(trial, accuracy(trial.candidate.config))
        return run

    def close(self) -> "AskedStudy":
        """End the launch. Trials that it has begun are interrupted."""
        self.searcher.close()
        self.recorder.close(interrupted=False)
        self.locks.release_all()
        return self

    @property
    def plan(self) -> Plan:
        """The plan from all that the ledger has."""
        return self.planner.plan(self.ledger.trials())

    def tags(self) -> dict[str, list[SearchTag]]:
        """Return the points that the ledger has of the study's search, by identity of their trials."""
        name = self.planner.search_tag
        records = self.ledger.trials().values()
        return {each.identity: [SearchTag.from_json(each.tags[name])] for each in records if name in each.tags}


def points(trials: list[Trial]) -> list[Mapping[str, Any]]:
    """Return the values of the nuisance axes of search trials."""
    return [trial.candidate.nuisance for trial in trials if not trial.candidate.config.test]
