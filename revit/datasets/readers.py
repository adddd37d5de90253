"""Reading each dataset's own files: what is there, and its images as uint8 arrays.

A reader is two functions. `find` names the files (and so tells when they changed) or says how to get
them; `read` yields every image once. Only the image store calls them, once a machine.
"""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from revit.datasets.registry import FOLDER_PREFIX
from revit.errors import InputError

Split = Literal["train", "test", "unsplit"]

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
TRAIN_FOLDERS = ("train", "Train", "training", "Training")
TEST_FOLDERS = ("test", "Test", "testing", "Testing")


class Sample(NamedTuple):
    """One image (H, W, C) uint8 with C 1 or 3, its class, and the split its publisher put it in."""

    image: npt.NDArray[np.uint8]
    label: int
    split: Split


class Reader(NamedTuple):
    """How one dataset is read.

    Attributes:
        find: the files it consists of, given the folder of datasets. Raises InputError when absent.
        read: class names, and an iterator over every sample, given those files.
    """

    find: Callable[[Path], list[Path]]
    read: Callable[[list[Path]], tuple[list[str], Iterator[Sample]]]


def reader_for(dataset: str) -> Reader:
    """The reader of a registered dataset, or of the folder that `folder:PATH` names."""
    if dataset.startswith(FOLDER_PREFIX):
        folder = Path(dataset.removeprefix(FOLDER_PREFIX)).expanduser().absolute()
        return Reader(find=lambda _: find_image_folder(folder), read=lambda files: read_image_folder(folder, files))
    return READERS[dataset]


def find_digits(_: Path) -> list[Path]:
    """The table of digits inside the installed scikit-learn, located without importing it."""
    from importlib.util import find_spec

    package = find_spec("sklearn")
    assert package is not None and package.origin is not None, "scikit-learn is a dependency"
    return [Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"]


def read_digits(_: list[Path]) -> tuple[list[str], Iterator[Sample]]:
    """1,797 digits of 8x8 pixels; their 17 levels of gray (0 to 16) are spread over 0 to 255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    pairs = zip(images, digits.target, strict=True)
    return [str(digit) for digit in range(10)], (Sample(image, int(label), "unsplit") for image, label in pairs)


FASHION_MNIST_CLASSES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
FASHION_MNIST_FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip


def find_fashion_mnist(data_dir: Path) -> list[Path]:
    """The four idx files, packed or not: where torchvision puts them, or Debian's package."""
    folders = [data_dir / "FashionMNIST" / "raw", DEBIAN_FASHION_MNIST]
    for folder in folders:
        found = [_packed_or_not(folder / name) for name in FASHION_MNIST_FILES]
        present = [path for path in found if path is not None]
        if len(present) == len(FASHION_MNIST_FILES):
            return present
    looked = " and ".join(map(str, folders))
    raise InputError(
        f"dataset fashion_mnist is not here: looked in {looked}; get it with `run_study.py fetch STUDY` "
        "or `apt install dataset-fashion-mnist`"
    )


def _packed_or_not(path: Path) -> Path | None:
    choices = (path, path.with_name(path.name + ".gz"))
    return next((choice for choice in choices if choice.is_file()), None)


def read_fashion_mnist(files: list[Path]) -> tuple[list[str], Iterator[Sample]]:
    """Gray images of 28x28 from the four files, in the order of FASHION_MNIST_FILES."""
    return FASHION_MNIST_CLASSES, _idx_samples(files)


def _idx_samples(files: list[Path]) -> Iterator[Sample]:
    splits: tuple[Split, Split] = ("train", "test")
    for split, (image_file, label_file) in zip(splits, (files[:2], files[2:]), strict=True):
        images, labels = read_idx(image_file)[..., np.newaxis], read_idx(label_file)
        if len(images) != len(labels):
            raise InputError(f"{image_file} has {len(images)} images and {label_file} {len(labels)} labels")
        for image, label in zip(images, labels, strict=True):
            yield Sample(image, int(label), split)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """An array in the idx format of MNIST: 0, 0, type 8 (uint8), rank, big-endian sizes, values.

    Raises:
        InputError: the file is torn, or holds something else.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content = file.read()
        if content[:3] != b"\0\0\x08":
            raise ValueError("it does not begin as an idx file of bytes does")
        rank = content[3]
        shape = np.frombuffer(content, ">u4", count=rank, offset=4).astype(int)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise InputError(f"{path} is not a readable idx file: {error}") from error


def find_image_folder(folder: Path) -> list[Path]:
    """Every image below `folder`, sorted: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*` to be split."""
    if not folder.is_dir():
        raise InputError(f"dataset folder:{folder} is not here: there is no such folder")
    below = _split_folders(folder).values()
    files = sorted(path for part in below for path in part.glob("*/**/*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(
            f"dataset folder:{folder} has no images: expected train/CLASS/*.jpg and test/CLASS/*.jpg, "
            "or CLASS/*.jpg to be split"
        )
    return files


def _split_folders(folder: Path) -> dict[Split, Path]:
    train = next((folder / name for name in TRAIN_FOLDERS if (folder / name).is_dir()), None)
    test = next((folder / name for name in TEST_FOLDERS if (folder / name).is_dir()), None)
    if train is not None and test is not None:
        return {"train": train, "test": test}
    return {"unsplit": folder}


def read_image_folder(folder: Path, files: list[Path]) -> tuple[list[str], Iterator[Sample]]:
    """Decode with PIL: upright (EXIF), RGB. Classes are the folders' names, sorted.

    Raises:
        InputError: train and test do not hold the same classes.
    """
    places = [_place(folder, path) for path in files]
    classes = {split: {name for each, name in places if each == split} for split, _ in places}
    if len(classes) == 2 and classes["train"] != classes["test"]:
        odd = ", ".join(sorted(classes["train"] ^ classes["test"])[:3])
        raise InputError(f"dataset folder:{folder}: train and test have not the same classes; only one has {odd}")
    class_names = sorted({name for _, name in places})
    label_of = {name: label for label, name in enumerate(class_names)}
    samples = (
        Sample(decode_image(path), label_of[name], split) for path, (split, name) in zip(files, places, strict=True)
    )
    return class_names, samples


def _place(folder: Path, path: Path) -> tuple[Split, str]:
    """The split and the class that an image below the folder belongs to."""
    for split, part in _split_folders(folder).items():
        if path.is_relative_to(part):
            return split, path.relative_to(part).parts[0]
    raise AssertionError(f"{path} is not below {folder}")


def decode_image(path: Path) -> npt.NDArray[np.uint8]:
    """The image file as (H, W, 3) uint8, turned upright as its EXIF says.

    Raises:
        InputError: it cannot be decoded; names the path.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).replace(str(path), "it")
        raise InputError(f"the image {path} cannot be decoded: {reason}") from error


READERS: dict[str, Reader] = {
    "digits": Reader(find_digits, read_digits),
    "fashion_mnist": Reader(find_fashion_mnist, read_fashion_mnist),
}
