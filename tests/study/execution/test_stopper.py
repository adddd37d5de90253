"""Requests to stop a study."""

import os
import pickle
import signal
from pathlib import Path

import pytest
from rich.console import Console

from study.execution.stopper import Stopper
from study.system.signals import handled
from study.system.storage import Storage


@pytest.fixture
def stopper(tmp_path: Path) -> Stopper:
    return Stopper(Console(quiet=True), Storage(str(tmp_path)), "tune/stop")


def test_only_a_trial_that_has_saved_its_state_is_stopped(stopper: Stopper, tmp_path: Path) -> None:
    stopper.running.add("a")
    assert not stopper("a", {"saved": True})
    stopper.stop()
    assert (tmp_path / "tune" / "stop").exists(), "workers see it"
    assert [stopper("a", result) for result in ({}, {"saved": False}, {"saved": True})] == [False, False, True]
    assert not stopper.stop_all()
    stopper.running.discard("a")
    assert stopper.stop_all(), "trials that have not started"
    assert not stopper.interrupted, "no signal asked for it"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_study_and_only_a_second_ctrl_c_ends_it_at_once(stopper: Stopper, number: int) -> None:
    with handled(stopper.handle_signal):
        os.kill(os.getpid(), number)
        assert stopper.interrupted
        assert stopper.stopping
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_tune_pickles_it_without_its_state(stopper: Stopper) -> None:
    assert vars(pickle.loads(pickle.dumps(stopper))) == {}
