"""States that the ledger alone gives, against those of a launch that writes it."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from study.execution.progress import StudyProgress
from study.forecast.trial_costs import TrialCosts
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import Measurement, TrialUpdate, now_ms, study_tags
from study.ledger.server_locks import begin_launch
from study.ledger.states import TrialState
from study.live.ledger_feed import LedgerFeed
from study.live.study_state import Phase
from study.plan import Folders, Plan
from tests.study.made_plans import plan_of


class Launch:
    """A launch that trains nothing: what happens goes to the ledger and to its own progress."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self.plan, self.ledger = plan, ledger
        tags = {**plan.space.tags, "log": "/logs/1.log"}
        launches, self.name, self.locks = begin_launch({plan.space.name: tags}, ledger, print)
        (self.run_id,) = launches.values()
        known = {trial.identity: trial for trial in plan.all_trials}
        console = Console(file=io.StringIO())
        self.progress = StudyProgress(console, [plan], known, TrialCosts(plan.to_check), 2, "/logs/1.log")
        self.runs: dict[int, str] = {}

    def start(self, index: int) -> None:
        trial = self.plan.trials[index]
        tags = study_tags("example", cell=trial.candidate.cell, point=trial.candidate.point)
        record = self.ledger.open_trial(
            trial.identity, self.ledger.find(trial.identity), launch=self.run_id, name="trial", tags=tags
        )
        self.runs[index] = record.run_id
        self.progress.start_trial(trial.identity)
        self.progress.begin_training()

    def reach(self, index: int, step: int, **metrics: float) -> None:
        row = {"step": step, **metrics}
        self.ledger.log(self.runs[index], TrialUpdate(rows=[Measurement(row, now_ms())]))
        self.progress.add_rows(self.plan.trials[index].identity, [row], is_replay=False)

    def end(self, index: int, state: TrialState, **details: str) -> None:
        self.ledger.close_trial(self.runs[index], state, **details)  # type: ignore[arg-type]
        self.progress.end_trial(self.plan.trials[index].identity, state, None, **details)

    def close(self, state: TrialState) -> None:
        self.ledger.launches.close(self.run_id, state, {})
        self.locks.release_all()


@pytest.fixture
def launch(folders: Folders, tmp_path: Path, new_ledger: Callable[[Path], Ledger]) -> Launch:
    return Launch(plan_of(folders), new_ledger(tmp_path))


def feed_of(launch: Launch) -> LedgerFeed:
    """Return a feed as another process has it."""
    ledger = Ledger(launch.ledger.root)
    records = ledger.trials()
    plan = launch.plan.with_records(records)
    steps = {Phase.RUNNING: "wait", Phase.FAILED: "run again"}
    return LedgerFeed([plan], records, ledger, measure=lambda plan: plan, next_steps=steps)


def test_the_ledger_gives_the_state_that_the_launch_shows(launch: Launch) -> None:
    launch.start(0)
    feed = feed_of(launch)
    launch.reach(0, 3, images_per_s=64.0, val_accuracy=0.25)
    launch.reach(0, 5, test_accuracy=0.5, val_accuracy=0.5)
    launch.end(0, TrialState.FINISHED)
    launch.start(1)
    launch.reach(1, 2, images_per_s=64.0, val_accuracy=0.25)
    launch.start(2)
    launch.end(2, TrialState.FAILED, failure="data", message="x.png is missing")
    lines = feed.refresh()
    assert sorted(line.partition("running, 1 failed  ")[2].rpartition("  ")[0] for line in lines) == [
        "lr=0.1 seed=0  finished  val accuracy 50.00 %",
        "lr=0.1 seed=1  failed",
    ]
    here, elsewhere = (state.to_json() for state in (launch.progress._make_state(), feed.state()))
    differing = {key for key in here if here[key] != elsewhere[key]}
    assert differing <= {"elapsed_s", "eta_s", "next_step"}
    assert elsewhere["next_step"] == "wait"
    assert elsewhere["log"] == "/logs/1.log"
    assert elsewhere["share_done"] == pytest.approx(12 / 20)
    assert feed.refresh() == [], "each end once"
    launch.close(TrialState.FAILED)


def test_a_study_ends_with_its_launch(launch: Launch) -> None:
    for index in range(4):
        launch.start(index)
    feed = feed_of(launch)
    assert feed.totals().phase == Phase.RUNNING
    for index in range(3):
        launch.end(index, TrialState.FINISHED)
    launch.end(3, TrialState.FAILED, failure="code", message="ValueError")
    feed.refresh()
    assert feed.totals().phase == Phase.RUNNING, "the launch has not ended"
    launch.close(TrialState.FAILED)
    feed.refresh()
    state = feed.state()
    assert (state.phase, state.next_step) == (Phase.FAILED, "run again")
    assert (state.eta_s, state.elapsed_s, state.log) == (None, None, "")


def test_a_launch_that_was_killed_does_not_run(launch: Launch) -> None:
    launch.start(0)
    launch.reach(0, 2)
    feed = feed_of(launch)
    Locks.release_all(launch.locks)  # as the operating system does
    feed.confirm()
    state = feed.state()
    assert (state.phase, state.num_running, state.counts) == (Phase.INCOMPLETE, 0, {"new": 3, "interrupted": 1})


def test_a_launch_of_another_study_counts_if_it_trains_a_shared_trial(launch: Launch, folders: Folders) -> None:
    other = plan_of(folders, name="other", scientific={"optimizer.lr": (0.2, 0.3)}, seeds=(0,))
    ledger = Ledger(launch.ledger.root)

    def phase() -> Phase:
        records = ledger.trials()
        plan = other.with_records(records)
        return LedgerFeed([plan], records, ledger, measure=lambda plan: plan, next_steps={}).totals().phase

    launch.start(0)
    assert phase() == Phase.INCOMPLETE, "lr 0.1 is none of its trials"
    launch.start(1)
    assert phase() == Phase.RUNNING
    launch.close(TrialState.INTERRUPTED)
