"""Signals that ask a process to end: Ctrl-C, SIGTERM of schedulers, SIGHUP of a terminal that closes."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Call a handler at each signal that asks this process to end, while the context is active.

    Does nothing outside the main thread. SIGHUP stays ignored under nohup.
    """
    with handlers_kept():
        if _is_main_thread():
            for number in ENDING:
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, handler)
        yield


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Restore the handlers of these signals at the end: libraries install their own."""
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        if _is_main_thread():
            for number, former in before.items():
                signal.signal(number, former)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
