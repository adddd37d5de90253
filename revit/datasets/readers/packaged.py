"""Small datasets that installed packages ship: digits, mnist_5k, faces.

They are found without importing the package. None of them has a published split.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.base import Contents, Reader, Sample, package_folder

DIGIT_NAMES = [str(digit) for digit in range(10)]
FACE_NAMES = ["face", "background"]


def packaged_reader(package: str, path: str, read: Callable[[list[Path]], Contents]) -> Reader:
    """Return the reader of one file inside an installed package."""
    return Reader(find=lambda _: [package_folder(package) / path], read=read)


def read_digits(_: list[Path]) -> Contents:
    """Read 1,797 digits of 8x8 pixels; their gray levels 0 to 16 are scaled to 0 to 255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return _unsplit(DIGIT_NAMES, np.rint(digits.images * (255 / 16)), digits.target.tolist())


def read_mnist_5k(files: list[Path]) -> Contents:
    """Read 5,000 digits of 28x28 pixels: each line has 784 gray levels (0 to 255), then the digit."""
    table = np.loadtxt(files[0], dtype=np.uint8, delimiter=",")
    return _unsplit(DIGIT_NAMES, table[:, :-1].reshape(-1, 28, 28), table[:, -1].tolist())


def read_faces(files: list[Path]) -> Contents:
    """Read 200 gray images of 25x25 pixels (0 to 1): a hundred faces, then a hundred backgrounds."""
    images = np.load(files[0], allow_pickle=False)
    return _unsplit(FACE_NAMES, np.rint(images * 255), [0] * 100 + [1] * 100)


def _unsplit(class_names: list[str], images: npt.NDArray[np.generic], labels: Sequence[int]) -> Contents:
    """Return gray images (n, H, W), values 0 to 255, as samples without a split."""
    gray = images.astype(np.uint8)[..., np.newaxis]
    return class_names, (Sample(image, label, "unsplit") for image, label in zip(gray, labels, strict=True))
