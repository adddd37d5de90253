"""What went wrong with a trial, in classes, and what is done about each."""

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from revit.errors import MAX_MESSAGE_CHARS

FailureClass = Literal["device out of memory", "host out of memory", "lost worker", "data", "code"]
"""What the ledger and the tables call a failure.

    device out of memory   the worker halves its micro-batch, down to one image; then the trial runs alone, once
    host out of memory     the trial runs alone, once
    lost worker            its process or its node died: it goes on from its checkpoint, unless it gets nowhere
    data                   a file that it reads is missing or damaged: it is not repeated
    code                   anything else: it is not repeated
"""

CLASSES: dict[str, FailureClass] = {
    "torch.OutOfMemoryError": "device out of memory",
    "torch.cuda.OutOfMemoryError": "device out of memory",
    "ray.exceptions.OutOfMemoryError": "host out of memory",
    "builtins.MemoryError": "host out of memory",
    "ray.exceptions.RayActorError": "lost worker",
    "ray.exceptions.WorkerCrashedError": "lost worker",
    "ray.exceptions.NodeDiedError": "lost worker",
    "filelock._error.Timeout": "lost worker",
    "study.execution.failures.WorkFolderLostError": "lost worker",
    "revit.errors.InputError": "data",
    "builtins.OSError": "data",
}
"""By the full name of an exception's class, or of one that it derives from."""

NO_MEMORY = ("DefaultCPUAllocator", "can't allocate memory", "out of memory", "OUT_OF_MEMORY", "ALLOC_FAILED")
"""In the message of a RuntimeError of torch's: the CPU's memory, and that of libraries on the device."""

KILLED_FOR_MEMORY = "low on memory"
"""In the message of a worker that Ray ended so that its machine lives."""

MOST_LOST = 3
"""Times in a row that a trial's worker may be lost without a step more than the last time, or Ray without a trial."""

MOST_ALIKE = 3
"""Trials that fail alike, while none has finished, after which a study stops: the rest would fail alike, too."""


def classify(error: BaseException) -> FailureClass:
    """The class of what a worker raised, or of how it died."""
    text = str(error)
    if isinstance(error, RuntimeError) and any(sign in text for sign in NO_MEMORY):
        return "device out of memory"
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__]
    found: FailureClass = next((CLASSES[name] for name in names if name in CLASSES), "code")
    return "host out of memory" if found == "lost worker" and KILLED_FOR_MEMORY in text else found


class RayLostError(Exception):
    """Ray's own process on this machine died, and all workers with it."""


class CodeChangedError(Exception):
    """A worker has imported other code than its launch began with: its numbers would be recorded as that code's.

    Args:
        source, version: digest of the worker's source files, empty where they changed while it read them, and its
            training version.
        launch_source, launch_version: those of the launch.
    """

    def __init__(self, source: str, version: int, launch_source: str, launch_version: int) -> None:
        super().__init__(source, version, launch_source, launch_version)
        self._here = f"source {source or 'in change'}, training version {version}"
        self._launch = f"source {launch_source}, training version {launch_version}"

    def __str__(self) -> str:
        return (
            f"a worker found other code in revit/ ({self._here}) than this launch began with ({self._launch}): "
            "it was changed meanwhile, or machines differ; give the same command again"
        )


class WorkFolderLostError(Exception):
    """A trial's work folder was removed while it ran, and with it what it had done."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)

    def __str__(self) -> str:
        return f"{self.args[0]} was removed while its trial ran"


@dataclass(frozen=True)
class Signature:
    """By which failures are told alike: the class, the type of the exception, and the line that raised it."""

    failure: FailureClass
    exception: str
    line: str


def signature(error: BaseException, text: str) -> Signature:
    """The signature of a failure.

    Args:
        text: its traceback, as the worker told it; of a worker that died, anything.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith('File "')]
    return Signature(classify(error), type(error).__qualname__, lines[-1] if lines else "")


def told(error: BaseException) -> str:
    """What to say of it in one line: its type and the last line of its message."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return textwrap.shorten(
        f"{type(error).__name__}: {lines[-1] if lines else ''}", MAX_MESSAGE_CHARS, placeholder=" ..."
    )
