"""Memory of a GPU beside that of its trials: how many fit, with which micro-batch."""

from revit.training.memory_shape import MemoryEstimate

CONTEXT_BYTES = 896 * 2**20
"""CUDA's context of a process, with the kernels that it has loaded: an allowance, as it depends on GPU and driver.
It was 765 MiB on an H200 with CUDA 13.0 (benchmarks/results.md). PyTorch's allocator neither counts nor limits it."""
WORKSPACE_BYTES = 2 * 32 * 2**20
"""Workspaces of cuBLAS and cuBLASLt: 32 MiB each on Hopper, as NVIDIA recommends and PyTorch allocates
(docs.nvidia.com/cuda/cublas, cublasSetWorkspace); less on other GPUs."""
RESERVED_SHARE = 1.15
"""Memory that PyTorch's allocator reserves, by the estimated peak: an allowance for blocks of 2 and 20 MiB, their
fragments, workspaces of cuDNN, and partial sums of gradients of biases. On an H200 it was 1.08 for ViT-B/16, of which
.02 are partial sums; these were .05 for a ViT of width 64 (benchmarks/results.md)."""


def trials_that_fit(trial_bytes: int, gpu_bytes: int) -> int:
    """Return how many trials of this estimated peak fit the memory of a GPU."""
    return int(gpu_bytes // (RESERVED_SHARE * trial_bytes + WORKSPACE_BYTES + CONTEXT_BYTES))


def bytes_for_trial(gpu_bytes: int) -> int:
    """Return the largest estimated peak of a trial that has a GPU to itself."""
    return int((gpu_bytes - WORKSPACE_BYTES - CONTEXT_BYTES) / RESERVED_SHARE)


def largest_micro_batch(estimate: MemoryEstimate, gpu_bytes: int) -> int:
    """Return the largest micro-batch of a trial that has a GPU to itself; 0 if not even one image fits."""
    return estimate.largest_micro_batch(bytes_for_trial(gpu_bytes))
