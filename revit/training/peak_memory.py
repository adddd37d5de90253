"""Peak memory of a trial."""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import torch

NAME = "peak_memory_bytes"
RESET_PEAK = "5"
"""Value that resets the peak resident memory of a process (`man 5 proc_pid_clear_refs`)."""


def measure_peak_memory(device: torch.device) -> Callable[[], dict[str, float]]:
    """Begin to measure; return a function that returns `peak_memory_bytes` since then.

    On a GPU it is the most memory that torch had allocated there. On a CPU it is the peak resident memory of the
    process above that at the start, pages of image files included; on Linux with glibc only, elsewhere it is left out.
    Memory that earlier trials of the process freed is returned to the system first: reusing it would hide a peak.
    """
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # else a process without tensors there cannot reset it
        torch.cuda.reset_peak_memory_stats(device)
        return lambda: {NAME: torch.cuda.max_memory_allocated(device)}
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    except (AttributeError, OSError):
        return dict
    start = _resident_bytes("VmRSS")
    return lambda: {NAME: _resident_bytes("VmHWM") - start}


def _resident_bytes(name: str) -> int:
    """Return VmRSS, resident memory, or VmHWM, its peak."""
    match = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match is not None, "Linux has both"
    return 1024 * int(match[1])
