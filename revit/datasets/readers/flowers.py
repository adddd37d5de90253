"""Oxford Flowers-102 in its own files: an archive of photographs with two MATLAB tables."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from revit.datasets.readers.base import Contents, Sample, Split, read_members
from revit.datasets.readers.images import ImageFile

SPLITS: dict[str, Split] = {"trnid": "train", "tstid": "test"}
"""Split of the images in each list of the table. The official validation images, `valid`, are left out: validation is
carved from training everywhere."""
SPLITS_WITH_VALIDATION: dict[str, Split] = {"trnid": "train", "valid": "train", "tstid": "test"}

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


def read_flowers(splits: Mapping[str, Split], files: list[Path]) -> Contents:
    """Read the images of each list of the table, in its order."""
    from scipy.io import loadmat

    archive, labels, lists = files
    table = loadmat(lists)
    numbers = {key: table[key].ravel().tolist() for key in splits}
    return FLOWER_NAMES, _samples(archive, loadmat(labels)["labels"].ravel().tolist(), numbers, splits)


def _samples(
    archive: Path, labels: list[int], numbers: Mapping[str, list[int]], splits: Mapping[str, Split]
) -> Iterator[Sample]:
    names = {number: f"jpg/image_{number:05d}.jpg" for part in numbers.values() for number in part}
    contents = read_members(archive, set(names.values()))
    for key, part in numbers.items():
        for number in part:
            image = ImageFile(f"{archive}: {names[number]}", contents[names[number]])
            yield Sample(image, labels[number - 1] - 1, splits[key])
