"""Waiting for what passes: a disk that is full, read-only or away."""

import errno
import textwrap
import time
from collections.abc import Callable
from typing import TypeVar

from revit.errors import MAX_MESSAGE_CHARS, first_line

T = TypeVar("T")

TRANSIENT_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}
    | {errno.ECONNREFUSED, errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH}
)
"""Of an OSError, those that somebody may mend while a study waits."""
NO_SPACE = "No space left on device"
"""What a library says that hides the error's number."""

MIN_WAIT_S, MAX_WAIT_S = 1.0, 60.0
"""Between one try and the next; twice as long each time."""


def is_transient(error: BaseException) -> bool:
    """Whether it is worth trying again what raised this error, or hid the one behind it."""
    if (isinstance(error, OSError) and error.errno in TRANSIENT_ERRNOS) or NO_SPACE in str(error):
        return True
    behind = error.__cause__ or error.__context__
    return behind is not None and is_transient(behind)


def retry_transient(
    write: Callable[[], T],
    *,
    passing: Callable[[BaseException], bool] = is_transient,
    should_stop: Callable[[], bool] = lambda: False,
    log: Callable[[str], None] = lambda line: None,
) -> T:
    """Write; where that fails of something that may pass, again and again until it succeeds; returns its result.

    Args:
        write: may be called several times.
        passing: of an error, whether it may pass.
        hurry: asked every second: whether to give up.
        tell: called with a line when waiting begins and when it is over.

    Raises:
        Exception: what `write` raised, where that does not pass, or there is a hurry.
    """
    wait_s = MIN_WAIT_S
    while True:
        try:
            written = write()
        except Exception as error:
            if should_stop() or not passing(error):
                raise
            if wait_s == MIN_WAIT_S:
                reason = textwrap.shorten(first_line(error), MAX_MESSAGE_CHARS, placeholder=" ...")  # it may be a page
                log(f"cannot be written for now: {reason}")
        else:
            if wait_s > MIN_WAIT_S:
                log("can be written again; nothing is lost")
            return written
        until = time.monotonic() + wait_s
        while time.monotonic() < until and not should_stop():
            time.sleep(min(1.0, wait_s))
        wait_s = min(2 * wait_s, MAX_WAIT_S)
