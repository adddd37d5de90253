"""Image folders: `train/CLASS/*` with `test/CLASS/*`, `CLASS/*` to be split, or `test/CLASS/*` alone for a test set.

Files and folders whose names begin with a dot are left out. Symbolic links are followed.
"""

from collections.abc import Iterator
from pathlib import Path

from revit.datasets.readers.base import Contents, Sample, Split
from revit.datasets.readers.images import ImageFile
from revit.errors import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
TRAIN_FOLDERS = ("train", "Train", "training", "Training")
TEST_FOLDERS = ("test", "Test", "testing", "Testing")


def find_image_folder(folder: Path) -> list[Path]:
    """Return every image below `folder`, sorted.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"dataset folder:{folder}: there is no such folder")
    files = sorted(path for part in split_folders(folder).values() for path in images_in(part))
    if not files:
        raise InputError(
            f"dataset folder:{folder} has no images: expected train/CLASS/*.jpg and test/CLASS/*.jpg, "
            "or CLASS/*.jpg to be split, and no names that begin with a dot"
        )
    return files


def images_in(part: Path) -> list[Path]:
    """Return every image below the class folders of one split, sorted; none without such a folder."""
    return [path for path in images_below(part) if path.parent != part] if part.is_dir() else []


def images_below(folder: Path) -> list[Path]:
    """Return every image in a folder or below it, sorted.

    Raises:
        InputError: a link leads to a folder that holds it.
    """
    return sorted(path for path in _files_below(folder) if path.suffix.lower() in IMAGE_SUFFIXES)


def _files_below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield every file in a folder or below it; raise InputError if a link leads to one of its parents, `above`."""
    real = folder.resolve()
    if real in above:
        raise InputError(f"{folder} is a link to a folder that holds it: remove the link")
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files_below(path, (*above, real))
        else:
            yield path


def split_folders(folder: Path) -> dict[Split, Path]:
    """Return the training folder and the test folder, or a test folder that is alone; else the folder, unsplit."""
    train = next((folder / name for name in TRAIN_FOLDERS if (folder / name).is_dir()), None)
    test = next((folder / name for name in TEST_FOLDERS if (folder / name).is_dir()), None)
    if train is not None and test is not None:
        return {"train": train, "test": test}
    if test is not None and {path for path in folder.iterdir() if not path.name.startswith(".")} == {test}:
        return {"test": test}
    return {"unsplit": folder}


def read_image_folder(folder: Path, files: list[Path]) -> Contents:
    """Read every image, in RGB and upright (EXIF). Classes are the folder names, sorted.

    Raises:
        InputError: train and test have different classes.
    """
    parts = split_folders(folder)
    split_and_class = [
        (split, path.relative_to(part).parts[0])
        for path in files
        for split, part in parts.items()
        if path.is_relative_to(part)
    ]
    classes = {split: {name for each, name in split_and_class if each == split} for split, _ in split_and_class}
    if len(classes) == 2 and classes["train"] != classes["test"]:
        odd = ", ".join(sorted(classes["train"] ^ classes["test"])[:3])
        raise InputError(f"dataset folder {folder}: train and test have different classes; only one has {odd}")
    class_names = sorted({name for _, name in split_and_class})
    label_of = {name: label for label, name in enumerate(class_names)}
    samples = (
        Sample(ImageFile(str(path), path), label_of[name], split)
        for path, (split, name) in zip(files, split_and_class, strict=True)
    )
    return class_names, samples
