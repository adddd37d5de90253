"""Processes that train one trial together, data parallel, by torch.distributed."""

from dataclasses import dataclass

from torch import distributed as dist


@dataclass(frozen=True)
class WorkerGroup:
    """The workers of one trial; this process is the one of `rank`.

    All call `fine_tune` with the same config, data and checkpoint. They train the trial that one process trains: the
    same batches, crops, masks of dropout and weights, up to the rounding of sums. Worker 0 alone reports, is asked
    whether to report now, and so saves checkpoints; every worker gets the whole result. An error of one worker ends
    all: each raises it. A group that had one is not used again; the caller starts another.

    Attributes:
        rank: number of this worker, from 0.
        size: number of workers; 1 for a process that trains alone, without torch.distributed.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls) -> "WorkerGroup":
        """Return the group of the default process group, which `torch.distributed.init_process_group` has made.

        Its backend is `gloo` on CPUs, and `cpu:gloo,cuda:nccl` on GPUs.
        """
        return cls(dist.get_rank(), dist.get_world_size())


ALONE = WorkerGroup()
"""The group of a process that trains its trial alone."""
