import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from study.execution.progress import StudyProgress
from study.ledger.states import TrialState

WORK = {"a": 100.0, "b": 100.0, "c": 100.0, "d": 100.0}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr("study.execution.progress.time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def progress_of(file: io.StringIO, *, terminal: bool = False, label: str = "0.1") -> StudyProgress:
    config = SimpleNamespace(seed=0, test=True)
    trials = [
        SimpleNamespace(identity=name, num_steps=100, candidate=SimpleNamespace(point={"lr": label}, config=config))
        for name in ("a", "b", "c", "d")
    ]
    known = {trial.identity: trial for trial in trials}
    console = Console(file=file, width=200, force_terminal=terminal)
    return StudyProgress(console, known, 4, sum(WORK.values()), lambda trial: WORK[trial.identity])


def test_the_time_left_is_in_proportion_to_the_steps_left(clock: SimpleNamespace) -> None:
    file = io.StringIO()
    progress = progress_of(file)
    progress.start_trial("a")
    progress.start_trial("b")
    progress.end_trial("c", TrialState.FAILED, None)
    clock.s += 30
    progress.update_step("a", 100, is_replay=False)
    progress.end_trial("b", TrialState.FAILED, None)
    first, second = file.getvalue().splitlines()
    assert first.endswith("  0:00:00 left")
    assert second.endswith("  0:00:10 left"), "30 s for 300 steps, 100 are left"


def test_a_trial_counts_by_its_work(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WORK, "a", 1000.0)
    file = io.StringIO()
    progress = progress_of(file)
    progress.start_trial("a")
    progress.update_step("a", 25, is_replay=False)
    clock.s += 10
    progress.end_trial("b", TrialState.FAILED, None)
    assert file.getvalue().splitlines()[-1].endswith("  0:00:27 left"), "10 s for 350 of 1300"


def test_steps_before_a_resume_do_not_count_for_the_time_left(clock: SimpleNamespace) -> None:
    file = io.StringIO()
    progress = progress_of(file)
    progress.start_trial("a")
    progress.update_step("a", 80, is_replay=True)
    progress.requeue_trial("a", "lost worker")
    clock.s += 10
    progress.end_trial("a", TrialState.FINISHED, None)
    assert file.getvalue().splitlines()[-1].endswith("  0:02:30 left"), "10 s for 20 steps, 300 are left"


def test_each_ended_trial_prints_a_line_with_counts_state_and_accuracy_in_percent(clock: SimpleNamespace) -> None:
    file = io.StringIO()
    with progress_of(file) as progress:
        progress.start_trial("a")
        progress.start_trial("b")
        clock.s += 10
        progress.end_trial("a", TrialState.FINISHED, 0.875)
        progress.end_trial("b", TrialState.DIVERGED, None)
        progress.end_trial("c", TrialState.PRUNED, 0.41)
    first, second, third = file.getvalue().splitlines()
    assert first == "1/4 trials, 1 running  lr=0.1 seed=0  finished  val accuracy 87.50 %  0:00:30 left"
    assert second == "2/4 trials, 0 running  lr=0.1 seed=0  diverged  0:00:10 left"
    assert third == "3/4 trials, 0 running  lr=0.1 seed=0  pruned  val accuracy 41.00 %  0:00:03 left"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_label_that_looks_like_markup_is_shown_unchanged(clock: SimpleNamespace, *, terminal: bool) -> None:
    file = io.StringIO()
    label = "small [/a] [red]:smile:"
    with progress_of(file, terminal=terminal, label=label) as progress:
        progress.start_trial("a")
        progress.requeue_trial("a", "lost worker")
        progress.end_trial("a", TrialState.FINISHED, 0.875)
    lines = [line for line in file.getvalue().splitlines() if "trials," in line]
    assert len([line for line in lines if f"lr={label} seed=0" in line]) >= 2


def test_a_requeued_trial_prints_a_line_with_the_reason(clock: SimpleNamespace) -> None:
    file = io.StringIO()
    with progress_of(file) as progress:
        progress.start_trial("a")
        progress.requeue_trial("a", "lost worker: " + "its process died " * 20)
        progress.start_trial("a")
        progress.end_trial("a", TrialState.FINISHED, 0.875)
    requeued, ended = file.getvalue().splitlines()
    assert requeued.startswith("0/4 trials, 0 running  lr=0.1 seed=0  resumes after: lost worker: its process died")
    assert ended.startswith("1/4 trials, 0 running")
