"""Progress of a launch whose trials are planned, and whose reports are made up."""

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from study.execution.progress import StudyProgress
from study.forecast.trial_costs import TrialCosts
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from tests.study.made_plans import plan_of, record_of

ROW = {"images_per_s": 64.0, "val_accuracy": 0.5}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(s=100.0)
    for module in ("study.execution.progress", "study.live.screen"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(monotonic=lambda: now.s))
    return now


class Launch:
    """A launch of four trials of two cells, two at a time; what it prints."""

    def __init__(self, plan: Plan, *, terminal: bool = False, height: int = 40) -> None:
        self.file = io.StringIO()
        known = {trial.identity: trial for trial in plan.all_trials}
        self.names = list(known)
        self.costs = TrialCosts(plan.to_check)
        console = Console(file=self.file, width=100, height=height, force_terminal=terminal, color_system=None)
        self.progress = StudyProgress(console, [plan], known, self.costs, 2, "/store/logs/1.log")

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()

    def start(self, *indices: int) -> None:
        for index in indices:
            self.progress.start_trial(self.names[index])
        self.progress.begin_training()

    def reach(self, index: int, step: int, *, is_replay: bool = False, **metrics: float) -> None:
        self.progress.add_rows(self.names[index], [{"step": step, **metrics}], is_replay=is_replay)

    def end(self, index: int, state: TrialState = TrialState.FINISHED, accuracy: float | None = None) -> None:
        self.progress.end_trial(self.names[index], state, accuracy)


@pytest.fixture
def launch(folders: Folders, clock: SimpleNamespace) -> Callable[..., Launch]:
    def make(changes: Mapping[str, Any] | None = None, **options: Any) -> Launch:
        return Launch(plan_of(folders, **(changes or {})), **options)

    return make


def test_the_time_left_is_in_proportion_to_the_steps_left(
    launch: Callable[..., Launch], clock: SimpleNamespace
) -> None:
    made = launch()
    made.start(0, 1)
    clock.s += 30
    made.reach(1, 5)
    made.end(0)
    made.end(1)
    first, second = made.lines
    assert first.endswith("  0:00:30 left"), "30 s for two trials, two are left"
    assert second.endswith("  0:00:30 left")


def test_the_time_of_imports_does_not_count_for_the_time_left(
    launch: Callable[..., Launch], clock: SimpleNamespace
) -> None:
    made = launch()
    made.progress.start_trial(made.names[0])
    clock.s += 1000
    made.start(0)
    clock.s += 10
    made.end(0)
    assert made.lines[-1].endswith("  0:00:30 left")


def test_the_last_trials_leave_slots_empty(launch: Callable[..., Launch], clock: SimpleNamespace) -> None:
    made = launch()
    made.start(0, 1)
    clock.s += 30
    made.end(0)
    made.end(1)
    made.start(2, 3)
    clock.s += 30
    made.end(2)
    assert made.lines[-1].endswith("  0:00:40 left"), "60 s for three trials at two a time: the last takes 40 s, alone"


def test_steps_before_a_resume_do_not_count_for_the_time_left(
    launch: Callable[..., Launch], clock: SimpleNamespace
) -> None:
    made = launch()
    made.start(0)
    made.reach(0, 4, is_replay=True)
    made.progress.requeue_trial(made.names[0], "lost worker")
    clock.s += 10
    made.end(0)
    assert made.lines[-1].endswith("  0:02:30 left"), "10 s for 1 step of 5, 15 are left"


def test_what_the_ledger_has_counts_as_done(folders: Folders, clock: SimpleNamespace) -> None:
    plan = plan_of(folders)
    records = {trial.identity: record_of(trial) for trial in plan.trials[:2]}
    made = Launch(plan.with_records(records))
    made.start(2)
    clock.s += 10
    made.end(2)
    assert made.lines[-1].startswith("3/4 trials, 0 running")
    assert made.lines[-1].endswith("  0:00:10 left")


def test_times_that_are_known_correct_the_share_that_is_done(folders: Folders, clock: SimpleNamespace) -> None:
    made = Launch(plan_of(folders, scientific={"resolution": (8, 16)}, seeds=(0,)))
    small, large = made.progress._trials.values()
    made.progress.start_trial(small.identity)
    made.end(0)
    before = made.progress._make_totals().share_done
    made.costs.measure(small, 5, 1.0, "cpu")
    made.costs.measure(large, 5, 99.0, "cpu")
    assert made.progress._make_totals().share_done < 0.1 < before


def test_each_ended_trial_prints_a_line_with_counts_state_and_accuracy_in_percent(
    launch: Callable[..., Launch], clock: SimpleNamespace
) -> None:
    made = launch()
    with made.progress:
        made.start(0, 1)
        clock.s += 10
        made.end(0, TrialState.FINISHED, 0.875)
        made.end(1, TrialState.DIVERGED)
        made.end(2, TrialState.FAILED)
    first, second, third = made.lines
    assert first == "1/4 trials, 1 running  lr=0.1 seed=0  finished  val accuracy 87.50 %  0:00:30 left"
    assert second == "2/4 trials, 0 running  lr=0.2 seed=0  diverged  0:00:10 left"
    assert third == "3/4 trials, 0 running, 1 failed  lr=0.1 seed=1  failed  0:00:03 left"


def test_a_pipe_gets_a_line_a_minute(launch: Callable[..., Launch], clock: SimpleNamespace) -> None:
    made = launch()
    with made.progress as progress:
        progress.start_trial(made.names[0])
        for _ in range(150):
            clock.s += 1
            progress.refresh()
    assert made.lines == ["0/4 trials, 1 running  0 %  starting"] * 2


def test_a_terminal_gets_one_view(launch: Callable[..., Launch], clock: SimpleNamespace) -> None:
    made = launch(terminal=True)
    with made.progress as progress:
        progress.start_trial(made.names[0])
        made.reach(0, 3, images_per_s=64.0, val_accuracy=0.5)
        progress.refresh()
        first = made.file.getvalue()
        clock.s += 0.5
        progress.refresh()
        assert made.file.getvalue() == first, "not twice a second"
        made.reach(0, 5, test_accuracy=0.625)
        made.end(0)
        progress.start_trial(made.names[1])
        progress.end_trial(made.names[1], TrialState.FAILED, None, failure="data", message="FileNotFoundError: x.png")
        clock.s += 1
        progress.refresh()
        second = made.file.getvalue().removeprefix(first)
    rows = [" ".join(line.split()) for line in first.splitlines()]
    assert "lr=0.1 seed=0 3/5 0.5 50.00" in rows, "64 images a second are half a step"
    assert "lr=0.1 - - 0/2 1 still running, 1 not run" in rows
    assert "log: /store/logs/1.log" in rows
    rows = [" ".join(line.split()) for line in second.splitlines()]
    assert any(row.startswith("lr=0.1 62.50") and row.endswith("1/2 1 not run") for row in rows)
    assert "failures: 1 data: FileNotFoundError: x.png" in rows
    failure = "2/4 trials, 0 running, 1 failed  lr=0.2 seed=0  failed"
    assert made.file.getvalue().count(failure) == 1, "a failure stays above the view"
    assert "finished" not in second, "what has finished is in the view"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_label_that_looks_like_markup_is_shown_unchanged(launch: Callable[..., Launch], *, terminal: bool) -> None:
    made = launch(terminal=terminal)
    label = "small [/a] [red]:smile:"
    trial = made.progress._trials[made.names[0]]
    renamed = replace(trial, candidate=replace(trial.candidate, cell={"optimizer.lr": label}))
    made.progress._trials[made.names[0]] = renamed  # type: ignore[index]
    with made.progress as progress:
        progress.start_trial(made.names[0])
        progress.refresh()
        progress.requeue_trial(made.names[0], "lost worker")
        made.end(0, TrialState.FAILED)
    shown = made.file.getvalue()
    assert shown.count(f"  lr={label} seed=0  ") == 2
    assert (f"lr={label} seed=0" in shown.partition("resumes")[0]) or not terminal


def test_a_requeued_trial_prints_a_line_with_the_reason(launch: Callable[..., Launch]) -> None:
    made = launch()
    with made.progress as progress:
        progress.start_trial(made.names[0])
        progress.requeue_trial(made.names[0], "lost worker: " + "its process died " * 20)
        progress.start_trial(made.names[0])
        made.end(0)
    requeued, ended = made.lines
    assert requeued.startswith("0/4 trials, 0 running  lr=0.1 seed=0  resumes after: lost worker: its process died")
    assert ended.startswith("1/4 trials, 0 running")
