"""Class folders: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*` to be split."""

from pathlib import Path

from revit.datasets.readers.base import Contents, Sample, Split
from revit.datasets.readers.images import decode_image
from revit.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
TRAIN_FOLDERS = ("train", "Train", "training", "Training")
TEST_FOLDERS = ("test", "Test", "testing", "Testing")


def find_image_folder(folder: Path) -> list[Path]:
    """Every image below `folder`, sorted.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"dataset folder:{folder} is not here: there is no such folder")
    files = sorted(path for part in split_folders(folder).values() for path in images_in(part))
    if not files:
        raise InputError(
            f"dataset folder:{folder} has no images: expected train/CLASS/*.jpg and test/CLASS/*.jpg, "
            "or CLASS/*.jpg to be split"
        )
    return files


def images_in(part: Path) -> list[Path]:
    """Every image in or below the class folders of one split, sorted."""
    return sorted(path for path in part.glob("*/**/*") if path.suffix.lower() in IMAGE_SUFFIXES)


def split_folders(folder: Path) -> dict[Split, Path]:
    """Its folders of training and of test images; where not both are there, itself, to be split."""
    train = next((folder / name for name in TRAIN_FOLDERS if (folder / name).is_dir()), None)
    test = next((folder / name for name in TEST_FOLDERS if (folder / name).is_dir()), None)
    if train is not None and test is not None:
        return {"train": train, "test": test}
    return {"unsplit": folder}


def read_image_folder(folder: Path, files: list[Path]) -> Contents:
    """Decode with PIL: upright (EXIF), RGB. Classes are the folders' names, sorted.

    Raises:
        InputError: train and test do not hold the same classes.
    """
    parts = split_folders(folder)
    places = [_place(parts, path) for path in files]
    classes = {split: {name for each, name in places if each == split} for split, _ in places}
    if len(classes) == 2 and classes["train"] != classes["test"]:
        odd = ", ".join(sorted(classes["train"] ^ classes["test"])[:3])
        raise InputError(f"dataset folder {folder}: train and test have not the same classes; only one has {odd}")
    class_names = sorted({name for _, name in places})
    label_of = {name: label for label, name in enumerate(class_names)}
    samples = (
        Sample(decode_image(path), label_of[name], split) for path, (split, name) in zip(files, places, strict=True)
    )
    return class_names, samples


def _place(parts: dict[Split, Path], path: Path) -> tuple[Split, str]:
    """The split and the class that an image belongs to, by the folder of a split that it lies in."""
    for split, part in parts.items():
        if path.is_relative_to(part):
            return split, path.relative_to(part).parts[0]
    raise AssertionError(f"{path} is below none of {parts}")
