"""Peak memory of trials of a shape: from the table of known costs, else traced. Imports no torch where it is known."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from revit.config import FineTuneConfig, ScheduleConfig
from revit.training.known_costs import known_memory

Precision = Literal["fp32", "bf16"]
Lines = tuple[tuple[int, int], ...]

NUM_IMAGES = 1009
"""Micro-batch that is traced, in images: a prime number that divides the size of no tensor that is not of images."""
MIN_CLASSES = 128
"""Classes of the head of a shape, or more where a dataset has more: its size matters little."""
CHANNELS = 3
LABEL_BYTES = 8
WITHOUT_EFFECT: dict[str, Any] = {
    "seed": 0, "dataset": "digits", "data_fraction": 1.0, "subset_seed": 0, "val_fraction": 0.1,
    "train_crop": "none", "crop_scale": (0.08, 1.0), "resize_factor": 1.25, "hflip": False,
    "normalization": "inception", "sampling": "shuffled", "steps": 1, "epochs": None, "epoch_images": "used",
    "num_evals": 1, "eval_every": None, "test_curve": False, "test": True, "test_sets": (), "selection": "last",
    "model.pretrained": False, "model.weights": None, "model.pos_embed": "learned",
    "model.pos_embed_resize": "timm", "model.head_init": "zeros",
    "optimizer.lr": 1.0,
}  # fmt: skip
"""Fields with values that leave the memory nearly as it is, as the schedule does: such trials are traced once."""
IF_ANY = (
    *(f"model.{name}" for name in ("dropout", "attn_dropout", "head_dropout", "drop_path")),
    *("mixup", "cutmix", "random_erasing", "label_smoothing", "ema_decay"),
    *("optimizer.weight_decay", "optimizer.max_grad_norm"),
)
"""Fields of whose value it only matters that it is not zero."""
SOME = 0.5


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak memory of the steps of a trial, as a function of its micro-batch.

    Attributes:
        lines: of the moments of a step at which its peak can be: bytes at no image, and for each image of the
            micro-batch. The largest counts.
        batch_bytes: of the uint8 images and labels of the whole batch.
    """

    lines: Lines
    batch_bytes: int

    def peak_bytes(self, micro_batch: int) -> int:
        """Return the peak memory with a micro-batch of so many images."""
        return self.batch_bytes + max(base + image * micro_batch for base, image in self.lines)

    def largest_micro_batch(self, limit_bytes: int) -> int:
        """Return the largest micro-batch whose peak is at most the limit; 0 if not even one image fits."""
        left = limit_bytes - self.batch_bytes
        if any(base > left for base, _ in self.lines):
            return 0
        return min((left - base) // image for base, image in self.lines if image)


def memory_config(config: FineTuneConfig) -> FineTuneConfig:
    """Return the config with the same values in the fields that leave its memory as it is, but for its batch's."""
    accumulates = config.micro_batch is not None and config.micro_batch < config.batch_size
    batch = {"batch_size": (1 + accumulates) * NUM_IMAGES, "micro_batch": NUM_IMAGES if accumulates else None}
    flat = config.flat()
    alike = {name: SOME for name in IF_ANY if flat[name]}
    return replace(config, schedule=ScheduleConfig()).with_values({**WITHOUT_EFFECT, **alike, **batch})


def micro_batch_of(config: FineTuneConfig) -> int:
    """Return the images of a forward pass."""
    return min(config.micro_batch or config.batch_size, config.batch_size)


def batch_bytes(config: FineTuneConfig, channels: int) -> int:
    """Return the bytes of the images and labels of a batch."""
    return config.batch_size * (channels * config.resolution**2 + LABEL_BYTES)


def shape_memory(config: FineTuneConfig, num_classes: int, precision: Precision, *, on_gpu: bool) -> MemoryEstimate:
    """Estimate the peak memory of a config, on images in color and with a head of at least MIN_CLASSES.

    Raises:
        InputError: the model does not exist, or does not take the resolution.
    """
    shape, num_classes = memory_config(config), max(MIN_CLASSES, num_classes)
    lines = known_memory(shape, num_classes, precision, on_gpu=on_gpu)
    if lines is None:
        from revit.training.memory_estimate import trace_memory

        lines = trace_memory(shape, num_classes, CHANNELS, precision, on_gpu=on_gpu)
    return MemoryEstimate(lines, batch_bytes(config, CHANNELS))
