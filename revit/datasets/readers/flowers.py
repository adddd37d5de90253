"""Oxford Flowers-102 in its own files: an archive of photographs with two MATLAB tables."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.base import Contents, Sample, Split, read_members
from revit.datasets.readers.images import ImageFile

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


def read_flowers(files: list[Path]) -> Contents:
    """Read the official training images, then the official test images, in the order of the table."""
    from scipy.io import loadmat

    archive, labels, splits = files
    return FLOWER_NAMES, _samples(archive, loadmat(labels)["labels"].ravel().tolist(), loadmat(splits))


def _samples(archive: Path, labels: list[int], splits: Mapping[str, npt.NDArray[np.integer]]) -> Iterator[Sample]:
    numbers = {split: splits[key].ravel().tolist() for split, key in SPLIT_KEYS.items()}
    names = {number: f"jpg/image_{number:05d}.jpg" for part in numbers.values() for number in part}
    contents = read_members(archive, set(names.values()))
    for split, part in numbers.items():
        for number in part:
            image = ImageFile(f"{archive}: {names[number]}", contents[names[number]])
            yield Sample(image, labels[number - 1] - 1, split)
