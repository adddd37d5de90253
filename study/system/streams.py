"""Standard streams whose errors do not end the process: a closed terminal, a full disk, a closed pipe."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast


class LossyStream:
    """A text stream that drops what cannot be written.

    Args:
        on_error: called with the first error other than a closed pipe.
    """

    def __init__(self, stream: TextIO, on_error: Callable[[OSError], object] = lambda error: None) -> None:
        self._stream = stream
        self._on_error = on_error

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        self._drop_errors(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush what is buffered, or drop it."""
        self._drop_errors(self._stream.flush)

    def _drop_errors(self, call: Callable[[], object]) -> None:
        try:
            call()
        except BrokenPipeError:
            pass
        except OSError as error:
            self._on_error(error)
            self._on_error = lambda error: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_closed() -> None:
    """Open /dev/null for standard streams that were closed when Python started.

    Otherwise the next file that is opened gets their descriptor, and a child process would write into it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w"))  # noqa: SIM115 - it stays open


def make_lossy() -> None:
    """Replace stdout and stderr by streams that do not raise. If stdout fails, stderr says so once."""
    errors = cast(TextIO, LossyStream(sys.stderr))
    sys.stderr = errors
    sys.stdout = cast(
        TextIO, LossyStream(sys.stdout, lambda error: errors.write(f"what is printed is lost: {error.strerror}\n"))
    )
