"""Processes that train one trial together, data parallel, by torch.distributed."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

import torch
from torch import distributed as dist
from torch import nn

from revit.errors import WorkerLostError

BUCKET_BYTES = 2**25
"""Gradients that are summed over the workers in one call."""

T = TypeVar("T")


class _Failure(NamedTuple):
    """The answer of a worker that cannot give its value in an exchange."""

    error: BaseException


class _OtherWorkerFailedError(Exception):
    """Another worker answered with its failure."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True)
class WorkerGroup:
    """The workers of one trial; this process is the one of `rank`.

    All call `fine_tune` with the same config, data and checkpoint. They train the trial that one process trains: the
    same batches, crops, masks of dropout and weights, up to the rounding of sums. Worker 0 alone reports, is asked
    whether to report now, and so saves checkpoints; every worker gets the whole result.

    An error of one worker ends all: each raises it. All may then call `fine_tune` again, for example with half the
    micro-batch. If a worker's process ends, the others raise WorkerLostError. They then need a new process group.

    Workers meet in `exchange`, in the same order everywhere; a worker that fails meets the others in the exchange that
    they come to next, with its error. Gradients are summed after an exchange, once nothing can fail any more.

    Attributes:
        rank: number of this worker, from 0.
        size: number of workers; 1 for a process that trains alone, without torch.distributed.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls) -> "WorkerGroup":
        """Return the group of the default process group, which `torch.distributed.init_process_group` has made.

        Its backend is `gloo` on CPUs, and `cpu:gloo,cuda:nccl` on GPUs: exchanges do not wait for a GPU.
        """
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """True for worker 0, which alone reports."""
        return self.rank == 0

    def exchange(self, value: T) -> list[T]:
        """Return the value of each worker, by rank.

        Raises:
            WorkerLostError: a worker's process has ended.
        """
        if self.size == 1:
            return [value]
        answers: list[T | _Failure | None] = [None] * self.size
        try:
            dist.all_gather_object(answers, value)
        except RuntimeError as error:
            raise WorkerLostError(f"a worker of the trial was lost: {error}") from error
        for answer in answers:
            if isinstance(answer, _Failure):
                raise _OtherWorkerFailedError(answer.error)
        return cast(list[T], answers)

    def ask_first(self, question: Callable[[], T]) -> T:
        """Return the answer of worker 0 to a question that it alone is asked."""
        return cast(T, self.exchange(question() if self.is_first else None)[0])

    def require_equal(self, what: str, value: str) -> None:
        """Raise RuntimeError unless all workers have the same value."""
        if len(set(self.exchange(value))) > 1:
            raise RuntimeError(f"the workers of the trial differ in {what}")

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over the workers. Does not synchronize with a GPU.

        Raises:
            RuntimeError: the workers have gradients of different parameters.
            WorkerLostError: a worker's process has ended.
        """
        if self.size == 1:
            return
        parameters = list(parameters)
        having = [each for each in parameters if each.grad is not None]
        flat = [_flatten_gradients(bucket) for bucket in _buckets(having)]
        self.require_equal("the parameters with a gradient", "".join("01"[p.grad is not None] for p in parameters))
        try:
            for work in [dist.all_reduce(each, async_op=True) for each in flat]:
                work.wait()
        except RuntimeError as error:
            raise WorkerLostError(f"a worker of the trial was lost: {error}") from error

    @contextmanager
    def sharing_errors(self) -> Iterator[None]:
        """Raise an error of any worker in all of them. The last thing inside is an exchange."""
        try:
            yield
        except _OtherWorkerFailedError as other:
            raise other.error from None
        except WorkerLostError:
            dist.destroy_process_group()  # its closed connections end those who wait for this worker
            raise
        except BaseException as error:
            with suppress(_OtherWorkerFailedError, WorkerLostError):
                self.exchange(_Failure(_picklable(error, f"on worker {self.rank} of {self.size}")))
            raise


ALONE = WorkerGroup()
"""The group of a process that trains its trial alone."""


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        bucket.append(parameter)
        if sum(each.nbytes for each in bucket) >= BUCKET_BYTES:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


def _flatten_gradients(parameters: list[nn.Parameter]) -> torch.Tensor:
    """Return the gradients of parameters as one vector; each gradient is then a view of it."""
    flat = torch.cat([each.grad.reshape(-1) for each in parameters if each.grad is not None])
    for parameter, part in zip(parameters, torch.split(flat, [each.numel() for each in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)
    return flat


def _picklable(error: BaseException, note: str) -> BaseException:
    """Return an error for another process, with a note; a RuntimeError of its text where it cannot be pickled."""
    try:
        copy: BaseException = pickle.loads(pickle.dumps(error))
    except Exception:  # the error of a library may raise anything
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(note)
    return copy
