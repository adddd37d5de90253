"""What each dataset is. Facts only: nothing here reads a file or imports numpy."""

from dataclasses import dataclass

from revit.errors import InputError

FOLDER_PREFIX = "folder:"


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file that `fetch` gets.

    Attributes:
        url: where it is.
        path: where it belongs, below the folder of datasets.
        md5: digest of the whole of it, as its publisher states it.
    """

    url: str
    path: str
    md5: str


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A dataset as its publisher describes it.

    Attributes:
        num_train, num_test: images in its own splits.
        files: what has to be downloaded; nothing where an installed package has it.
        uncertain: what a reader of results should know is not settled; empty where all is.
    """

    name: str
    title: str
    num_classes: int
    num_train: int
    num_test: int
    source: str
    licence: str
    files: tuple[RemoteFile, ...] = ()
    uncertain: str = ""


_FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_FASHION_MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}

DATASETS: dict[str, DatasetSpec] = {
    "digits": DatasetSpec(
        name="digits",
        title="Handwritten digits, 8x8 gray",
        num_classes=10,
        num_train=1438,
        num_test=359,
        source="sklearn.datasets.load_digits: the test part of UCI 'Optical Recognition of "
        "Handwritten Digits' (Alpaydin and Kaynak, 1998)",
        licence="CC BY 4.0",
        uncertain="scikit-learn ships 1,797 images without a split; the 359 test images are ours, "
        "a stratified fifth, the same for every trial",
    ),
    "fashion_mnist": DatasetSpec(
        name="fashion_mnist",
        title="Fashion-MNIST, 28x28 gray",
        num_classes=10,
        num_train=60_000,
        num_test=10_000,
        source="https://github.com/zalandoresearch/fashion-mnist (Xiao, Rasul, Vollgraf, 2017)",
        licence="MIT",
        files=tuple(
            RemoteFile(url=f"{_FASHION_MNIST_URL}/{name}", path=f"FashionMNIST/raw/{name}", md5=md5)
            for name, md5 in _FASHION_MNIST_MD5.items()
        ),
    ),
}


def check_dataset(name: str) -> None:
    """Raise InputError unless `name` is in the registry or reads `folder:PATH`."""
    if name in DATASETS or (name.startswith(FOLDER_PREFIX) and name != FOLDER_PREFIX):
        return
    known = ", ".join(DATASETS)
    raise InputError(f"dataset = {name!r}: known are {known}, or {FOLDER_PREFIX}PATH for your own images")
