"""Signals, sent to this process."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from study.execution.stopper import Stopper
from study.system.signals import ENDING, handled
from study.system.storage import Storage


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup leaves it ignored
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    assert {number: signal.getsignal(number) for number in ENDING} == before
    signal.signal(signal.SIGHUP, inherited)


@pytest.mark.parametrize("number", ENDING)
def test_each_signal_that_asks_for_the_end_stops_the_study(number: signal.Signals, tmp_path: Path) -> None:
    stopper = Stopper(Console(quiet=True), Storage(str(tmp_path)), "stop")
    with handled(stopper.handle_signal):
        assert not stopper.interrupted
        os.kill(os.getpid(), number)
        assert stopper.interrupted
        assert (tmp_path / "stop").exists()
        os.kill(os.getpid(), signal.SIGTERM)  # schedulers and shells send some of them twice
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_hangup_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    heard: list[int] = []
    with handled(lambda number, _: heard.append(number)):
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGTERM]
    assert signal.signal(signal.SIGHUP, before) is signal.SIG_IGN


def test_another_thread_handles_no_signals() -> None:
    raised: list[Exception] = []

    def handle() -> None:
        try:
            with handled(lambda *_: None):
                pass
        except ValueError as error:
            raised.append(error)

    thread = threading.Thread(target=handle)
    thread.start()
    thread.join()
    assert raised == []
