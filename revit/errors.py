"""The two things that can be wrong with a trial and are nobody's bug, and how others' errors are told."""

MAX_MESSAGE_CHARS = 240
"""Maximum length of a one-line error message."""


class InputError(ValueError):
    """A value, file or option the user gave cannot be used.

    The message is one line: the thing, the value it has, and what would be right. What a file or a library adds to it
    that a line cannot hold, as a line break or a byte that is no text, is shown escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(each if each.isprintable() else repr(each)[1:-1] for each in message))


class DivergedError(ArithmeticError):
    """The loss stopped being a finite number. A result of the trial, not a crash.

    Args:
        step: the first optimizer step (counted from 1) whose loss was not finite.
        loss: that loss, `nan` or an infinity.
    """

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(step, loss)
        self.step = step
        self.loss = loss

    def __str__(self) -> str:
        return f"the loss became {self.loss} at step {self.step}"


def first_line(error: Exception) -> str:
    """What an error says, in one line; its kind where it says nothing, as a timeout may."""
    return next(iter(str(error).splitlines()), type(error).__name__)
