"""Retries with exponential backoff."""

import errno
import textwrap
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from revit.errors import MAX_MESSAGE_CHARS, first_line

T = TypeVar("T")

TRANSIENT_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}
    | {errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH}
)
"""Numbers of an OSError that somebody may fix while a study waits."""
NO_SPACE = "No space left on device"
"""Message of libraries that hide the error's number."""

MIN_WAIT_S, MAX_WAIT_S = 1.0, 60.0
"""Seconds before the first retry, and at most; doubled after each."""


def is_transient(error: BaseException) -> bool:
    """Return whether a call that raised this error may succeed later. Looks at the causes of the error, too."""
    if (isinstance(error, OSError) and error.errno in TRANSIENT_ERRNOS) or NO_SPACE in str(error):
        return True
    cause = error.__cause__ or error.__context__
    return cause is not None and is_transient(cause)


class Unreliable(ABC):
    """Base of what keeps files or runs, and may be unavailable for a while."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name in messages, as in `the store mlruns`."""

    @staticmethod
    @abstractmethod
    def is_transient(error: BaseException) -> bool:
        """Return whether a call that raised this error may succeed later."""

    def retry(
        self,
        call: Callable[[], T],
        *,
        log: Callable[[str], None] = lambda line: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> T:
        """Return what a call returns, retried while what it uses is unavailable.

        Args:
            call: may be called several times.
            log: called with a line when waiting begins and when it ends.
            should_stop: polled every second; True raises the error at once.
        """
        return retry_transient(
            call,
            is_transient=self.is_transient,
            should_stop=should_stop,
            log=lambda line: log(f"{self.label} {line}"),
        )


def or_timeout(should_stop: Callable[[], bool], timeout_s: float) -> Callable[[], bool]:
    """Return a function that returns whether the study stops, or a time from now is over."""
    end_s = time.monotonic() + timeout_s
    return lambda: should_stop() or time.monotonic() > end_s


def retry_transient(
    call: Callable[[], T],
    *,
    is_transient: Callable[[BaseException], bool] = is_transient,
    should_stop: Callable[[], bool] = lambda: False,
    log: Callable[[str], None] = lambda line: None,
) -> T:
    """Return what a call returns, retried after transient errors.

    Args:
        call: may be called several times.
        is_transient: returns whether a call that raised an error may succeed later.
        should_stop: polled every second; True raises the error at once.
        log: called with a line when waiting begins and when it ends.

    Raises:
        Exception: raised by `call`: not transient, or `should_stop`.
    """
    wait_s = MIN_WAIT_S
    while True:
        try:
            result = call()
        except Exception as error:
            if should_stop() or not is_transient(error):
                raise
            if wait_s == MIN_WAIT_S:
                reason = textwrap.shorten(first_line(error), MAX_MESSAGE_CHARS, placeholder=" ...")  # it may be a page
                log(f"cannot be written for now: {reason}")
        else:
            if wait_s > MIN_WAIT_S:
                log("can be written again; nothing is lost")
            return result
        end_s = time.monotonic() + wait_s
        while time.monotonic() < end_s and not should_stop():
            time.sleep(min(1.0, wait_s))
        wait_s = min(2 * wait_s, MAX_WAIT_S)
