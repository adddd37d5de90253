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


def test_the_time_left_follows_from_the_share_of_steps_done(clock: SimpleNamespace) -> None:
    progress = progress_of(io.StringIO(), terminal=False)
    assert progress.eta_s() is None
    progress.started("a")
    progress.started("b")
    clock.s += 30
    progress.stepped("a", 100)
    progress.stepped("b", 50)
    assert progress.eta_s() == pytest.approx(30 * 250 / 150)


def test_steps_from_before_a_resume_took_no_time_of_this_launch(clock: SimpleNamespace) -> None:
    progress = progress_of(io.StringIO(), terminal=False)
    progress.started("a")
    progress.resumed("a", 80)
    assert progress.eta_s() is None
    clock.s += 10
    progress.stepped("a", 100)
    assert progress.eta_s() == pytest.approx(10 * 300 / 20)


def test_every_ended_trial_is_a_line_with_counts_outcome_and_score(clock: SimpleNamespace) -> None:
    file = io.StringIO()
    with progress_of(file, terminal=False) as progress:
        progress.started("a")
        progress.started("b")
        clock.s += 10
        progress.ended("a", "lr=0.1 seed=0", TrialState.FINISHED, 0.875)
        progress.ended("b", "lr=0.2 seed=0", TrialState.DIVERGED, None)
    first, second = file.getvalue().splitlines()
    assert first == "1/4 trials, 1 running  lr=0.1 seed=0  finished  val_accuracy 0.8750  0:00:30 left"
    assert second == "2/4 trials, 0 running  lr=0.2 seed=0  diverged  0:00:10 left"


def test_a_terminal_shows_the_best_so_far(clock: SimpleNamespace) -> None:
    file = io.StringIO()
    with progress_of(file, terminal=True) as progress:
        for name, score in (("a", 0.5), ("b", 0.75), ("c", 0.6)):
            progress.started(name)
            progress.ended(name, f"trial {name}", TrialState.FINISHED, score)
    assert "best val_accuracy 0.7500 (trial b)" in file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_label_that_looks_like_markup_is_shown_as_it_is(clock: SimpleNamespace, *, terminal: bool) -> None:
    file = io.StringIO()
    name = "small [/a] [red]:smile:"
    with progress_of(file, terminal=terminal) as progress:
        progress.started("a")
        progress.again("a", name, "lost worker")
        progress.ended("a", name, TrialState.FINISHED, 0.875)
    lines = [line for line in file.getvalue().splitlines() if "trials," in line]
    assert len([line for line in lines if name in line]) >= 2
    assert (f"best val_accuracy 0.8750 ({name})" in file.getvalue()) == terminal


def test_a_trial_that_goes_on_by_itself_is_one_line_that_says_after_what(clock: SimpleNamespace) -> None:
    file = io.StringIO()
    with progress_of(file, terminal=False) as progress:
        progress.started("a")
        progress.again("a", "lr=0.1 seed=0", "lost worker: " + "its process died " * 20)
        progress.started("a")
        progress.ended("a", "lr=0.1 seed=0", TrialState.FINISHED, 0.875)
    again, ended = file.getvalue().splitlines()
    assert again.startswith("0/4 trials, 0 running  lr=0.1 seed=0  goes on after: lost worker: its process died")
    assert ended.startswith("1/4 trials, 0 running")
