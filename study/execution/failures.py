"""Classes of trial failures. They decide which trials are retried."""

import textwrap
from typing import Literal

from revit.errors import MAX_MESSAGE_CHARS

FailureClass = Literal["device out of memory", "host out of memory", "lost worker", "unfit node", "data", "code"]
"""Class of a failure, as the ledger and the tables name it.

    device out of memory   the worker halves its micro-batch, down to one image; then the trial runs exclusively, once
    host out of memory     the trial runs exclusively, once
    lost worker            its process or its node died: it resumes from its checkpoint, unless it makes no progress
    unfit node             its node lacks what it reads, and cannot get it: it runs on another, not counted as a failure
    data                   a file that it reads is missing or damaged: not retried
    code                   anything else: not retried
"""

CLASSES: dict[str, FailureClass] = {
    "torch.OutOfMemoryError": "device out of memory",
    "ray.exceptions.OutOfMemoryError": "host out of memory",
    "builtins.MemoryError": "host out of memory",
    "ray.exceptions.RayActorError": "lost worker",
    "ray.exceptions.WorkerCrashedError": "lost worker",
    "ray.exceptions.NodeDiedError": "lost worker",
    "ray.train.v2._internal.exceptions.WorkerGroupStartupFailedError": "lost worker",
    "revit.errors.WorkerLostError": "lost worker",
    "torch.distributed.DistError": "lost worker",
    "filelock._error.Timeout": "lost worker",
    "study.execution.failures.WorkFolderLostError": "lost worker",
    "study.execution.failures.NodeUnfitError": "unfit node",
    "revit.errors.InputError": "data",
    "builtins.OSError": "data",
}
"""Class by the full name of the exception's type, or of one of its bases."""

OUT_OF_MEMORY_TEXTS = ("DefaultCPUAllocator", "can't allocate memory", "out of memory", "OUT_OF_MEMORY", "ALLOC_FAILED")
"""Texts in a RuntimeError of PyTorch that ran out of memory, on the CPU or in a library on the device."""

KILLED_FOR_MEMORY = "low on memory"
"""Text in the error of a worker that Ray killed to free memory."""

MAX_LOSSES = 3
"""Times in a row that a trial may lose its worker at the same step, or Ray may die without an ended trial."""

MAX_SAME_FAILURES = 3
"""Trials that may fail for the same reason before any has finished. Then the study stops: the rest would fail, too."""


def classify(error: BaseException) -> FailureClass:
    """Return the class of what a worker raised, or of how it died."""
    text = str(error)
    if isinstance(error, RuntimeError) and any(sign in text for sign in OUT_OF_MEMORY_TEXTS):
        return "device out of memory"
    names = [f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__]
    found: FailureClass = next((CLASSES[name] for name in names if name in CLASSES), "code")
    return "host out of memory" if found == "lost worker" and KILLED_FOR_MEMORY in text else found


class RayLostError(Exception):
    """A process of Ray on this machine died, and all workers with it; or Ray has lost the resources of all trials."""


class CodeChangedError(Exception):
    """A worker imported other code than its launch began with: its numbers would be recorded as that code's."""


class NodeUnfitError(Exception):
    """A node cannot run trials of this launch: it lacks what they read, and cannot get it.

    Args:
        node_id: Ray's id of the node.
        reason: one line.
    """

    def __init__(self, node_id: str, reason: str) -> None:
        super().__init__(node_id, reason)
        self.node_id = node_id
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class WorkFolderLostError(Exception):
    """The work folder of a trial was removed while it ran."""


def signature_of(error: BaseException, text: str) -> tuple[str, ...]:
    """Return the reason of a failure: its class, the type of the exception, and the line of `text` that raised it."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith('File "')]
    return classify(error), type(error).__qualname__, lines[-1] if lines else ""


def summarize(error: BaseException) -> str:
    """Return an error in one line: its type and the last line of its message."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return textwrap.shorten(
        f"{type(error).__name__}: {lines[-1] if lines else ''}", MAX_MESSAGE_CHARS, placeholder=" ..."
    )
