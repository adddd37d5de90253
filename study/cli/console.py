"""Console of the command line."""

import sys

from rich.console import Console
from rich.text import Text

from study.system.streams import open_closed

EXIT_FINISHED, EXIT_SOME_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130
EXIT_RUNNING, EXIT_INCOMPLETE = 3, 4
"""Exit codes of `status` alone: a launch trains the study; none does, and trials are left."""

PIPED_WIDTH = 1000
"""Columns of a table in a file or pipe, wide enough for every row."""

open_closed()
out = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, markup=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, markup=False, emoji=False, highlight=False)
# Without markup: labels, questions and paths may look like it.


def echo(*texts: str) -> None:
    """Print each text unchanged, without colors or line breaks, so that commands can be copied."""
    for text in texts:
        out.print(text, highlight=False, soft_wrap=True)


def echo_error(text: str) -> None:
    """Print an error in one line."""
    err.print(Text("error:", style="red"), text)
