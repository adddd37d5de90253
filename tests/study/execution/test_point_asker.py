"""Points that searches ask for, in a real ledger whose trials ended long ago."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.execution.point_asker import PointAsker
from study.execution.recorder import Recorder
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import Measurement, TrialUpdate
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import make_plan
from study.trial import Trial

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5)


class Asked:
    """A search of one cell over learning rates."""

    def __init__(self, ledger: Ledger, cache_dir: Path, search: Search) -> None:
        self.ledger, self.locks = ledger, Locks(ledger.root / "locks")
        self.launch = ledger.launches.open("searched", {})
        self.folders = Folders(store=ledger.root, data=ledger.root, cache=cache_dir)
        self.space = SearchSpace(
            name="searched", question="?", base=BASE, scientific={"optimizer.name": ("sgd",)},
            nuisance={"optimizer.lr": (0.1, 0.2)}, search=search, seeds=(0,),
        )  # fmt: skip
        self.recorder = Recorder(
            ledger, launch=self.launch, study={"study": "searched"}, trials={}, locks=self.locks, log=print
        )

    def plan(self) -> Plan:
        return make_plan(self.space, (0,), self.folders, self.ledger.trials())

    def asker(self) -> PointAsker:
        return PointAsker(self.plan(), self.ledger.trials(), self.ledger, self.locks, self.recorder)

    def finish(self, trial: Trial, metrics: Mapping[str, float]) -> None:
        """Write a trial as finished."""
        given = {"launch": self.launch, "name": "a trial", "tags": trial.tags}
        record = self.ledger.open_trial(trial.identity, self.ledger.find(trial.identity), **given)
        row = {"step": 5, "train_time_s": 1.0, **metrics}
        update = TrialUpdate(config=trial.candidate.config.flat(), rows=[Measurement(row, 0)])
        self.ledger.close_trial(record.run_id, TrialState.FINISHED, update=update)


@pytest.fixture
def ask(
    tmp_path: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Asked]:
    """Makes a search. No trial that has ended has changed since."""
    monkeypatch.setattr("study.ledger.ledger.CLOCK_TOLERANCE_MS", -1)
    return lambda **search: Asked(new_ledger(tmp_path / "mlruns"), cache_dir, Search(**search))


def test_points_that_another_study_tested_long_ago_end_a_search_at_once(ask: Callable[..., Asked]) -> None:
    asked = ask()
    other = SearchSpace(
        name="other", question="?", base=BASE, scientific={"optimizer.lr": (0.1, 0.2)}, seeds=(0,)
    )  # fmt: skip
    for trial in make_plan(other, (0,), asked.folders, {}).trials:
        lr = trial.candidate.config.optimizer.lr
        asked.finish(trial, {"selected_val_accuracy": 1 - lr, "test_accuracy": lr})
    asker = asked.asker()
    answers = [trial for _ in range(4) for trial in asker.ask(())]
    assert [(each.candidate.config.optimizer.lr, each.candidate.config.test) for each in answers] == [(0.1, True)]
    [search] = asked.plan().searches
    assert [point.number for point in search.points] == [0, 1]
    assert {"test_accuracy" in trial.record.metrics for point in search.points for trial in point.trials} == {True}


def test_the_later_seeds_of_a_point_that_is_given_up_are_not_handed_out(ask: Callable[..., Asked]) -> None:
    """Wilcoxon's test is at p < .1 with four seeds, each worse than the best point's."""
    asked = ask(pruner="wilcoxon", seeds=(0, 1, 2, 3, 4, 5))
    asker = asked.asker()
    handed_out = []
    while trials := asker.ask(()):
        [trial] = trials
        handed_out.append((trial.candidate.config.optimizer.lr, trial.candidate.config.seed))
        if trial.candidate.config.test:
            break
        seed = trial.candidate.config.seed
        is_first = trial.candidate.config.optimizer.lr == handed_out[0][0]
        asked.finish(trial, {"selected_val_accuracy": 0.8 + 0.01 * seed if is_first else 0.3 - 0.02 * seed})
    first, second = dict.fromkeys(lr for lr, _ in handed_out)
    assert [seed for lr, seed in handed_out[:-1] if lr == first] == [0, 1, 2, 3, 4, 5]
    assert [seed for lr, seed in handed_out[:-1] if lr == second] == [0, 1, 2, 3]
    assert handed_out[-1] == (first, 0), "the winner, tested"
    [search] = asked.plan().searches
    assert [point.state for point in search.points] == [TrialState.FINISHED, TrialState.PRUNED]
