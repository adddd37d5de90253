import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from study.execution.progress import StudyProgress
from study.ledger.states import TrialState


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr("study.execution.progress.time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def progress_of(file: io.StringIO, *, terminal: bool) -> StudyProgress:
    trials = [SimpleNamespace(identity=name, num_steps=100) for name in ("a", "b", "c", "d")]
    return StudyProgress(Console(file=file, width=200, force_terminal=terminal), trials)


def test_the_time_left_is_in_proportion_to_the_steps_left(clock: SimpleNamespace) -> None:
    progress = progress_of(io.StringIO(), terminal=False)
    assert progress.eta_s() is None
    progress.start_trial("a")
    progress.start_trial("b")
    clock.s += 30
    progress.update_step("a", 100)
    progress.update_step("b", 50)
    assert progress.eta_s() == pytest.approx(30 * 250 / 150)


def test_steps_before_a_resume_do_not_count_for_the_time_left(clock: SimpleNamespace) -> None:
    progress = progress_of(io.StringIO(), terminal=False)
    progress.start_trial("a")
    progress.resume_trial("a", 80)
    assert progress.eta_s() is None
    clock.s += 10
    progress.update_step("a", 100)
    assert progress.eta_s() == pytest.approx(10 * 300 / 20)


def test_each_ended_trial_prints_a_line_with_counts_state_and_accuracy_in_percent(clock: SimpleNamespace) -> None:
    file = io.StringIO()
    with progress_of(file, terminal=False) as progress:
        progress.start_trial("a")
        progress.start_trial("b")
        clock.s += 10
        progress.end_trial("a", "lr=0.1 seed=0", TrialState.FINISHED, 0.875)
        progress.end_trial("b", "lr=0.2 seed=0", TrialState.DIVERGED, None)
    first, second = file.getvalue().splitlines()
    assert first == "1/4 trials, 1 running  lr=0.1 seed=0  finished  val accuracy 87.50 %  0:00:30 left"
    assert second == "2/4 trials, 0 running  lr=0.2 seed=0  diverged  0:00:10 left"


def test_a_terminal_shows_the_best_accuracy(clock: SimpleNamespace) -> None:
    file = io.StringIO()
    with progress_of(file, terminal=True) as progress:
        for name, score in (("a", 0.5), ("b", 0.75), ("c", 0.6)):
            progress.start_trial(name)
            progress.end_trial(name, f"trial {name}", TrialState.FINISHED, score)
    assert "best val accuracy 75.00 % (trial b)" in file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_label_that_looks_like_markup_is_shown_unchanged(clock: SimpleNamespace, *, terminal: bool) -> None:
    file = io.StringIO()
    name = "small [/a] [red]:smile:"
    with progress_of(file, terminal=terminal) as progress:
        progress.start_trial("a")
        progress.requeue_trial("a", name, "lost worker")
        progress.end_trial("a", name, TrialState.FINISHED, 0.875)
    lines = [line for line in file.getvalue().splitlines() if "trials," in line]
    assert len([line for line in lines if name in line]) >= 2
    assert (f"best val accuracy 87.50 % ({name})" in file.getvalue()) == terminal


def test_a_requeued_trial_prints_a_line_with_the_reason(clock: SimpleNamespace) -> None:
    file = io.StringIO()
    with progress_of(file, terminal=False) as progress:
        progress.start_trial("a")
        progress.requeue_trial("a", "lr=0.1 seed=0", "lost worker: " + "its process died " * 20)
        progress.start_trial("a")
        progress.end_trial("a", "lr=0.1 seed=0", TrialState.FINISHED, 0.875)
    requeued, ended = file.getvalue().splitlines()
    assert requeued.startswith("0/4 trials, 0 running  lr=0.1 seed=0  resumes after: lost worker: its process died")
    assert ended.startswith("1/4 trials, 0 running")
