"""Class folders: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*` to be split.

Names that begin with a dot are left out, of files and of folders: those of editors and systems begin so. Links are
followed, to files and to folders.
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
    """Every image below `folder`, sorted.

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
    """Every image in or below the class folders of one split, sorted; none where there is no such folder."""
    if not part.is_dir():
        return []
    files = (path for path in _files_below(part) if path.parent != part)
    return sorted(path for path in files if path.suffix.lower() in IMAGE_SUFFIXES)


def _files_below(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield all that is not a folder, in this one or below.

    Args:
        above: the folders that it was reached through, without links.

    Raises:
        InputError: a link leads to one of these.
    """
    real = folder.resolve()
    if real in above:
        raise InputError(f"dataset folder {folder} is a link to a folder that holds it: remove the link")
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files_below(path, (*above, real))
        else:
            yield path


def split_folders(folder: Path) -> dict[Split, Path]:
    """Its folders of training and of test images; where not both are there, itself, to be split."""
    train = next((folder / name for name in TRAIN_FOLDERS if (folder / name).is_dir()), None)
    test = next((folder / name for name in TEST_FOLDERS if (folder / name).is_dir()), None)
    if train is not None and test is not None:
        return {"train": train, "test": test}
    return {"unsplit": folder}


def read_image_folder(folder: Path, files: list[Path]) -> Contents:
    """Every image, RGB and upright (EXIF). Classes are the folders' names, sorted.

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
        Sample(ImageFile(str(path), path), label_of[name], split)
        for path, (split, name) in zip(files, places, strict=True)
    )
    return class_names, samples


def _place(parts: dict[Split, Path], path: Path) -> tuple[Split, str]:
    """The split and the class that an image belongs to, by the folder of a split that it lies in."""
    for split, part in parts.items():
        if path.is_relative_to(part):
            return split, path.relative_to(part).parts[0]
    raise AssertionError(f"{path} is below none of {parts}")
