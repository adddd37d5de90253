"""Devices that a study can be planned for, with the speed that training is assumed to have on them."""

import os
import shutil
import subprocess
from dataclasses import dataclass, replace

from revit.errors import InputError
from revit.training.memory_shape import Precision
from revit.training.trial_flops import ImageFlops

GB, GIB, TERA = 10**9, 2**30, 1e12
CPU = "cpu"


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that runs trials.

    Attributes:
        name: key of DEVICES.
        title: part of the name that PyTorch gives it, as in the ledger.
        fp32_flops, tf32_flops, bf16_flops: peaks of dense products, per second.
        memory_bytes: that PyTorch can use; 0 for that of its machine.
        product_mfu, convolution_mfu: part of the peak that training has, where products of matrices or convolutions
            dominate. An assumption.
        min_step_s: least seconds of an optimizer step, however small: its kernels are launched one by one. An
            assumption.
        source: where the numbers are from.
    """

    name: str
    title: str
    fp32_flops: float
    tf32_flops: float = 0.0
    bf16_flops: float = 0.0
    memory_bytes: int = 0
    product_mfu: float = 0.25
    convolution_mfu: float = 0.05
    min_step_s: float = 0.02
    source: str = ""

    @property
    def is_gpu(self) -> bool:
        """True for a GPU."""
        return self.name != CPU

    @property
    def precision(self) -> Precision:
        """Number format of matrix products and activations, as `revit.training.device.autocast` chooses it."""
        return "bf16" if self.bf16_flops else "fp32"

    @property
    def peak_flops(self) -> float:
        """Peak in the precision of training."""
        return self.bf16_flops or self.tf32_flops or self.fp32_flops

    def assumed_step_s(self, flops: ImageFlops, num_images: int) -> float:
        """Return the seconds that an optimizer step of so many images is assumed to take."""
        s_per_flop = (1 - flops.convolutions) / self.product_mfu + flops.convolutions / self.convolution_mfu
        return max(self.min_step_s, num_images * flops.step * s_per_flop / self.peak_flops)

    def is_called(self, recorded: str) -> bool:
        """Return whether the ledger calls it so."""
        return recorded == CPU if self.name == CPU else self.title in recorded


_MEASURED = "MFU as measured on an H100 with this code, ViT-B/16 and BiT-R50x1 in batches of 128"
_SHEET = "peaks: NVIDIA's data sheet, without sparsity"
DEVICES = {
    each.name: each
    for each in (
        Device(name="h100", title="H100", fp32_flops=66.9 * TERA, tf32_flops=494.7 * TERA, bf16_flops=989.4 * TERA,
               memory_bytes=85_017_493_504, source=f"{_SHEET} (H100 SXM); {_MEASURED}"),
        Device(name="h200", title="H200", fp32_flops=66.9 * TERA, tf32_flops=494.7 * TERA, bf16_flops=989.4 * TERA,
               memory_bytes=139 * GIB, source=f"{_SHEET} (H200 SXM); {_MEASURED}"),
        Device(name="a100", title="A100", fp32_flops=19.5 * TERA, tf32_flops=156 * TERA, bf16_flops=312 * TERA,
               memory_bytes=79 * GIB, product_mfu=0.38, convolution_mfu=0.12,
               source=f"{_SHEET} (A100 80 GB SXM); MFU: 1,144 images/s of ViT-B/16 at 224 px (FlagPerf)"),
        Device(name="a100-40gb", title="A100-SXM4-40GB", fp32_flops=19.5 * TERA, tf32_flops=156 * TERA,
               bf16_flops=312 * TERA, memory_bytes=39 * GIB, product_mfu=0.38, convolution_mfu=0.12,
               source=f"{_SHEET} (A100 40 GB SXM); MFU: 1,144 images/s of ViT-B/16 at 224 px (FlagPerf)"),
        Device(name="l40s", title="L40S", fp32_flops=91.6 * TERA, tf32_flops=183 * TERA, bf16_flops=362 * TERA,
               memory_bytes=44 * GIB, source=f"{_SHEET} (L40S); MFU as of an H100"),
        Device(name="rtx4090", title="RTX 4090", fp32_flops=82.6 * TERA, tf32_flops=82.6 * TERA,
               bf16_flops=165.2 * TERA, memory_bytes=23 * GIB, product_mfu=0.45, convolution_mfu=0.15,
               source=f"{_SHEET} (RTX 4090, sums in fp32); MFU as of an RTX 3090"),
        Device(name="rtx3090", title="RTX 3090", fp32_flops=35.6 * TERA, tf32_flops=35.6 * TERA,
               bf16_flops=71 * TERA, memory_bytes=23 * GIB, product_mfu=0.55, convolution_mfu=0.2,
               source=f"{_SHEET} (RTX 3090, sums in fp32); MFU: 393 images/s of ViT-B/16 at 224 px (timm)"),
        Device(name="v100", title="V100", fp32_flops=15.7 * TERA, memory_bytes=31 * GIB, product_mfu=0.6,
               convolution_mfu=0.4, source=f"{_SHEET} (V100 32 GB SXM), which has neither bf16 nor TF32; MFU guessed"),
        Device(name=CPU, title=CPU, fp32_flops=0.03 * TERA, product_mfu=1.0, convolution_mfu=0.7, min_step_s=0.01,
               source="one thread at 30 GFLOP/s, as measured with ViTs on a server's CPU"),
    )
}  # fmt: skip
"""Devices by name; of a CPU, one thread."""


def find_device(name: str) -> Device:
    """Return a device of the table.

    Raises:
        InputError: there is none of that name.
    """
    device = DEVICES.get(name.lower())
    if device is None:
        raise InputError(f"--gpu = {name!r}: must be one of {', '.join(each for each in DEVICES if each != CPU)}")
    return device


def choose_devices(gpu: str | None, count: int | None) -> tuple[Device, int]:
    """Return the device that a study is planned for, and how many there are.

    Args:
        gpu: name of a device of the table; None for that of this machine.
        count: number of GPUs; None for those of this machine, or one of a named one.

    Raises:
        InputError: there is no such device, or GPUs are counted that have no name.
    """
    if gpu is not None:
        return find_device(gpu), count or 1
    device, num_here = devices_here()
    if count is not None and not device.is_gpu:
        raise InputError(f"--gpus = {count}: this machine has no GPU: name one with --gpu, as --gpu h100")
    return device, count or num_here


def devices_here() -> tuple[Device, int]:
    """Return the device that `run` uses on this machine, and how many there are: GPUs, or threads of CPUs.

    A GPU that is not in the table counts as the slowest one there, with the memory that it has.
    """
    found = _gpus_here()
    if not found:
        return DEVICES[CPU], os.cpu_count() or 1
    name, memory_bytes = found[0]
    known = next((each for each in DEVICES.values() if each.is_gpu and each.is_called(name)), None)
    device = known or replace(DEVICES["v100"], title=name, source=f"{name} is not in the table: rates of a V100")
    return replace(device, memory_bytes=memory_bytes), len(found)


def _gpus_here() -> list[tuple[str, int]]:
    """Return name and bytes of each GPU of this machine, without importing torch."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
    fields = [line.rsplit(",", 1) for line in listed if "," in line]
    return [(name.strip(), int(size) * 2**20) for name, size in fields if size.strip().isdigit()]
