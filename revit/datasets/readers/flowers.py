"""Oxford Flowers-102 in its own files: an archive of photographs with two MATLAB tables."""

import hashlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.archives import read_members
from revit.datasets.readers.base import Contents, Sample, Split, missing_dataset
from revit.datasets.readers.images import ImageFile
from revit.datasets.registry import DATASETS
from revit.errors import InputError

FOLDER, ARCHIVE, LABELS, SPLITS = "flowers-102", "102flowers.tgz", "imagelabels.mat", "setid.mat"
SPLIT_KEYS: dict[Split, str] = {"train": "trnid", "test": "tstid"}
"""The official validation images, `valid`, are left out: validation is carved from training everywhere."""

PUBLISHED_MD5 = {Path(file.path).name: file.md5 for file in DATASETS["flowers102"].files}

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


Flower = tuple[str, int, Split]
"""One photograph: file name, class, split."""


def find_flowers(data_dir: Path) -> list[Path]:
    """Return the two tables, then the archive, or else every photograph in torchvision's `jpg/`."""
    folder = data_dir / FOLDER
    tables = [folder / LABELS, folder / SPLITS]
    images = [folder / ARCHIVE] if (folder / ARCHIVE).is_file() else sorted((folder / "jpg").glob("image_*.jpg"))
    if not images or not all(table.is_file() for table in tables):
        raise missing_dataset("flowers102", [*tables, folder / ARCHIVE])
    return [*tables, *images]


def read_flowers(files: list[Path]) -> Contents:
    """Read the official training images, then the official test images, in the order of the table.

    Raises:
        InputError: a table is not the published one, or a photograph is missing.
    """
    labels, splits, *images = files
    flowers = _flowers(labels, splits)
    if images[0].name == ARCHIVE:
        return FLOWER_NAMES, _from_archive(images[0], flowers)
    return FLOWER_NAMES, _from_folder(images[0].parent, flowers)


def _flowers(label_file: Path, split_file: Path) -> list[Flower]:
    labels, splits = _load_table(label_file)["labels"].ravel().tolist(), _load_table(split_file)
    return [
        (f"image_{number:05d}.jpg", labels[number - 1] - 1, split)
        for split, key in SPLIT_KEYS.items()
        for number in splits[key].ravel().tolist()
    ]


def _load_table(path: Path) -> Mapping[str, npt.NDArray[np.integer]]:
    """Return the arrays of a MATLAB file. Only the published files reach SciPy, which a damaged one may crash."""
    from scipy.io import loadmat

    content = path.read_bytes()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != PUBLISHED_MD5[path.name]:
        right = f"{PUBLISHED_MD5[path.name]}, as published: download it again"
        raise InputError(f"{path} has the MD5 {digest}; must be {right}")
    return cast(Mapping[str, npt.NDArray[np.integer]], loadmat(BytesIO(content)))


def _from_archive(archive: Path, flowers: list[Flower]) -> Iterator[Sample]:
    contents = read_members(archive, [f"jpg/{name}" for name, _, _ in flowers])
    for name, label, split in flowers:
        yield Sample(ImageFile(f"{archive}: jpg/{name}", contents[f"jpg/{name}"]), label, split)


def _from_folder(folder: Path, flowers: list[Flower]) -> Iterator[Sample]:
    missing = [name for name, _, _ in flowers if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} lacks {len(missing)} of {len(flowers)} photographs, first {missing[0]}")
    return (Sample(ImageFile(str(folder / name), folder / name), label, split) for name, label, split in flowers)
