"""Errors that are not bugs: an input that cannot be used, a loss that diverges."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

MAX_MESSAGE_CHARS = 240
"""Maximum length of a one-line error message."""


class InputError(ValueError):
    """A value, file or option the user gave cannot be used.

    The message is one line: the thing, the value it has, and what would be right. Line breaks and bytes that are not
    text are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(each if each.isprintable() else repr(each)[1:-1] for each in message))

    def __reduce__(self) -> tuple[type[Exception], tuple[str]]:
        """Pickle the message alone: a subclass is a plain InputError in another process."""
        return InputError, (str(self),)


class MissingInputError(InputError):
    """A dataset or the weights of a model are not on this machine.

    Args:
        name: of the dataset or the model.
        searched: folders that were searched, or names of caches.
        expected: files that would have been accepted there.
        source: where a person gets it.
        is_fetchable: whether `revit.download` or the Hugging Face hub can get it.
    """

    def __init__(
        self,
        kind: Literal["dataset", "weights"],
        name: str,
        searched: Sequence[Path | str],
        *,
        expected: str = "",
        source: str = "",
        is_fetchable: bool,
    ) -> None:
        self.kind = kind
        self.is_fetchable = is_fetchable
        self.details = f"searched {' and '.join(map(str, searched))}"
        self.details += f" for {expected}" if expected else ""
        self.details += f"; available from {source}" if source else ""
        super().__init__(f"{'dataset' if kind == 'dataset' else 'weights of'} {name} not found: {self.details}")


class UnwritableFolderError(InputError):
    """A folder cannot be written.

    Args:
        role: what the folder is for, as in `store` or `cache`.
    """

    def __init__(self, folder: Path, role: str, reason: str) -> None:
        self.role = role
        super().__init__(f"{folder} cannot be written: {reason}")


class UnknownFieldError(InputError):
    """A path names no field of the config."""


class BrokenImagesError(InputError):
    """Images of a dataset cannot be decoded, and `skip_broken` is False."""


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


class WorkerLostError(RuntimeError):
    """The process of another worker of the trial ended, or its connection broke."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type where the message is empty."""
    return next(iter(str(error).splitlines()), type(error).__name__)
