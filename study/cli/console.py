"""Where the command line prints, and its exit codes."""

import sys

from rich.console import Console
from rich.text import Text

from study.system.streams import open_closed

EXIT_FINISHED, EXIT_SOME_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130

PIPED_WIDTH = 1000
"""Columns of a table that goes into a file or pipe, where there is no terminal: no row should break."""

open_closed()
out = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, markup=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, markup=False, emoji=False, highlight=False)
# Without markup: labels, questions and paths are a user's, and may look like it.


def echo(text: str) -> None:
    """Print as it is: no colors, no line breaks of ours, so that commands can be copied."""
    out.print(text, highlight=False, soft_wrap=True)


def echo_error(text: str) -> None:
    """Print why the command ends, in one line."""
    err.print(Text("error:", style="red"), text)
