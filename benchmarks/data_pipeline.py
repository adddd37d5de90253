"""Speed of preparing training images on one core, against torchvision's transforms of PIL images.

    python -m benchmarks data_pipeline

Ours is `train_batch` and `to_input`, from an image store. The others are the transforms of the paper's authors
(RandomResizedCrop, RandomHorizontalFlip, ToTensor, Normalize), from images in memory as torchvision's CIFAR (arrays) or
Hugging Face's datasets (decoded PIL images) give them. Both return a batch (B, 3, R, R) float32. Seconds are the
processor time of one thread, so that other work on the machine does not count.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from benchmarks.ratios import BenchmarkResult, format_spread, ratios, time_interleaved
from revit.config import FineTuneConfig
from revit.datasets.batches import to_input, train_batch
from revit.datasets.image_store import ImageStore, open_store
from revit.models.normalization import normalization_of

ROUNDS = 9
NUM_TEST = 2
"""Test images of each synthetic class."""


class Case(NamedTuple):
    """Images of one size, prepared at one resolution.

    Attributes:
        size: height and width in pixels; None for the digits, 8 px, gray.
        resolution: side of the model's input, in pixels.
        batch_size: 16 is the authors' default per GPU, 128 ours.
        num_batches: number of batches in a round.
        min_speedup: target of the speedup.
    """

    size: tuple[int, int] | None
    resolution: int
    batch_size: int
    num_batches: int
    min_speedup: float


CASES = (
    Case((32, 32), 224, batch_size=16, num_batches=12, min_speedup=4),
    Case((32, 32), 384, batch_size=16, num_batches=6, min_speedup=4),
    Case((500, 600), 384, batch_size=16, num_batches=6, min_speedup=3),
    Case(None, 28, batch_size=128, num_batches=12, min_speedup=10),
)


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure every case, interleaved."""
    torch.set_num_threads(1)
    return [_measure(case._replace(num_batches=1) if tiny else case, rounds=2 if tiny else ROUNDS) for case in CASES]


def _measure(case: Case, rounds: int) -> BenchmarkResult:
    with tempfile.TemporaryDirectory() as name:
        store = _open(case, Path(name))
        ours, theirs = time_interleaved(
            rounds,
            partial(_seconds_of, case.num_batches, _ours(case, store)),
            partial(_seconds_of, case.num_batches, _theirs(case, store)),
        )
    speedups = ratios(theirs, ours)
    per_image = 1e6 / (case.num_batches * case.batch_size)
    height, width = store.sizes[0].tolist()
    return BenchmarkResult(
        what=f"training images/s per core, {height} x {width} to {case.resolution} px",
        against="PIL: RandomResizedCrop, RandomHorizontalFlip, ToTensor, Normalize",
        ratio=median(speedups),
        target=case.min_speedup,
        at_least=True,
        details=(
            f"{format_spread(speedups)}; {median(ours) * per_image:.0f} us an image against "
            f"{median(theirs) * per_image:.0f} us, in batches of {case.batch_size}"
        ),
    )


def _open(case: Case, folder: Path) -> ImageStore:
    if case.size is None:
        return open_store("digits", data_dir=folder, cache_dir=folder)
    return synthetic_images(folder, case.size, num_train=case.batch_size)


def synthetic_images(folder: Path, size: tuple[int, int], num_train: int) -> ImageStore:
    """Build an image store of color noise in two classes, in a folder.

    Args:
        folder: the folder.
        size: height and width of the images, in pixels.
        num_train: number of training images.
    """
    rng = np.random.default_rng(0)
    for split, num_images in (("train", num_train), ("test", 2 * NUM_TEST)):
        for number in range(num_images):
            path = folder / "images" / split / f"class_{number % 2}" / f"{number}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    return open_store(f"folder:{folder / 'images'}", data_dir=folder, cache_dir=folder / "cache")


def _seconds_of(num_batches: int, prepare: Callable[[], Tensor]) -> float:
    """Return the processor time of this thread for some batches, in seconds; the first batch, which allocates, not."""
    prepare()
    start = time.thread_time()
    for _ in range(num_batches):
        prepare()
    return time.thread_time() - start


def _ours(case: Case, store: ImageStore) -> Callable[[], Tensor]:
    """Return a function that prepares a batch (B, 3, R, R) of the store's first images with our code."""
    dataset = store.manifest.dataset
    config = FineTuneConfig(dataset=dataset, resolution=case.resolution, batch_size=case.batch_size, steps=1)
    train = np.flatnonzero(~store.is_test)[: case.batch_size]
    steps = count()
    device = torch.device("cpu")
    return lambda: to_input(train_batch(config, store, train, next(steps)).images, normalization_of(config), device)


def _theirs(case: Case, store: ImageStore) -> Callable[[], Tensor]:
    """Return a function that prepares a batch (B, 3, R, R) of the same images with torchvision's transforms."""
    train = np.flatnonzero(~store.is_test)[: case.batch_size]
    arrays = [np.array(store.image(index)) for index in train.tolist()]
    decoded = [_as_pil(array) for array in arrays]
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(case.resolution),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    if case.size == (32, 32):
        return lambda: torch.stack([transform(Image.fromarray(array)) for array in arrays])
    return lambda: torch.stack([transform(image) for image in decoded])


def _as_pil(image: npt.NDArray[np.uint8]) -> Image.Image:
    """Return an image (H, W, C), gray or color, as a color image."""
    return Image.fromarray(image.squeeze()).convert("RGB")
