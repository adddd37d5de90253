"""Oxford Flowers-102 in its own files: an archive of photographs and two MATLAB tables."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.archives import read_members
from revit.datasets.readers.base import Contents, Sample, Split, missing_dataset
from revit.datasets.readers.images import ImageFile
from revit.datasets.readers.matlab import whole_numbers
from revit.errors import InputError

FOLDER, ARCHIVE, LABELS, SPLITS = "flowers-102", "102flowers.tgz", "imagelabels.mat", "setid.mat"
SPLIT_KEYS: dict[Split, str] = {"train": "trnid", "test": "tstid"}
"""The official validation images, `valid`, are left out: validation is carved from training everywhere."""

FLOWER_NAMES = [
    "pink primrose", "hard-leaved pocket orchid", "canterbury bells", "sweet pea", "english marigold", "tiger lily",
    "moon orchid", "bird of paradise", "monkshood", "globe thistle", "snapdragon", "colt's foot", "king protea",
    "spear thistle", "yellow iris", "globe-flower", "purple coneflower", "peruvian lily", "balloon flower",
    "giant white arum lily", "fire lily", "pincushion flower", "fritillary", "red ginger", "grape hyacinth",
    "corn poppy", "prince of wales feathers", "stemless gentian", "artichoke", "sweet william", "carnation",
    "garden phlox", "love in the mist", "mexican aster", "alpine sea holly", "ruby-lipped cattleya", "cape flower",
    "great masterwort", "siam tulip", "lenten rose", "barbeton daisy", "daffodil", "sword lily", "poinsettia",
    "bolero deep blue", "wallflower", "marigold", "buttercup", "oxeye daisy", "common dandelion", "petunia",
    "wild pansy", "primula", "sunflower", "pelargonium", "bishop of llandaff", "gaura", "geranium", "orange dahlia",
    "pink-yellow dahlia?", "cautleya spicata", "japanese anemone", "black-eyed susan", "silverbush",
    "californian poppy", "osteospermum", "spring crocus", "bearded iris", "windflower", "tree poppy", "gazania",
    "azalea", "water lily", "rose", "thorn apple", "morning glory", "passion flower", "lotus", "toad lily",
    "anthurium", "frangipani", "clematis", "hibiscus", "columbine", "desert-rose", "tree mallow", "magnolia",
    "cyclamen", "watercress", "canna lily", "hippeastrum", "bee balm", "ball moss", "foxglove", "bougainvillea",
    "camellia", "mallow", "mexican petunia", "bromelia", "blanket flower", "trumpet creeper", "blackberry lily",
]  # fmt: skip


class Flower(NamedTuple):
    """One photograph of the tables: its file's name, its class and its split."""

    name: str
    label: int
    split: Split


def find_flowers(data_dir: Path) -> list[Path]:
    """The two tables, then the archive, or every photograph where only torchvision's `jpg/` is left."""
    folder = data_dir / FOLDER
    tables = [folder / LABELS, folder / SPLITS]
    images = [folder / ARCHIVE] if (folder / ARCHIVE).is_file() else sorted((folder / "jpg").glob("image_*.jpg"))
    if not images or not all(table.is_file() for table in tables):
        raise missing_dataset("flowers102", [*tables, folder / ARCHIVE])
    return [*tables, *images]


def read_flowers(files: list[Path]) -> Contents:
    """The official training images, then the official test images, each in the order of the table.

    Raises:
        InputError: a table is torn, lacks what it should hold, or names a photograph that is not there.
    """
    labels, splits, *images = files
    flowers = _flowers(labels, splits)
    if images[0].name == ARCHIVE:
        return FLOWER_NAMES, _from_archive(images[0], flowers)
    return FLOWER_NAMES, _from_folder(images[0].parent, flowers)


def _flowers(label_file: Path, split_file: Path) -> list[Flower]:
    labels = _numbers(label_file, "labels")
    if labels.min() < 1 or labels.max() > len(FLOWER_NAMES):
        raise InputError(f"{label_file}: labels are not all from 1 to {len(FLOWER_NAMES)}")
    flowers = []
    for split, key in SPLIT_KEYS.items():
        ids = _numbers(split_file, key)
        odd = ids[(ids < 1) | (ids > len(labels))]
        if len(odd):
            raise InputError(f"{split_file}: {key} names image {odd[0]}, but {label_file} has {len(labels)} labels")
        flowers += [Flower(f"image_{each:05d}.jpg", int(labels[each - 1]) - 1, split) for each in ids.tolist()]
    return flowers


def _numbers(path: Path, key: str) -> npt.NDArray[np.int64]:
    """One list of whole numbers, (n,), of a MATLAB file."""
    try:
        table = whole_numbers(path.read_bytes())
    except (OSError, ValueError, zlib.error) as error:
        raise InputError(f"{path} is not a readable MATLAB file: {error}") from error
    if not len(table.get(key, ())):
        raise InputError(f"{path} has no list of whole numbers {key!r}")
    return table[key]


def _from_archive(archive: Path, flowers: list[Flower]) -> Iterator[Sample]:
    contents = read_members(archive, [f"jpg/{flower.name}" for flower in flowers])
    for name, label, split in flowers:
        member = f"jpg/{name}"
        yield Sample(ImageFile(f"{archive}: {member}", contents[member]), label, split)


def _from_folder(folder: Path, flowers: list[Flower]) -> Iterator[Sample]:
    missing = [flower.name for flower in flowers if not (folder / flower.name).is_file()]
    if missing:
        raise InputError(f"{folder} lacks {len(missing)} of {len(flowers)} photographs, first {missing[0]}")
    return (Sample(ImageFile(str(folder / name), folder / name), label, split) for name, label, split in flowers)
