"""What each dataset is. Facts only: nothing here reads a file or imports numpy."""

from dataclasses import dataclass

from revit.errors import InputError

FOLDER_PREFIX = "folder:"


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A dataset as its publisher describes it.

    Attributes:
        num_train, num_test: images in its own splits.
        uncertain: what a reader of results should know is not settled; empty where all is.
    """

    name: str
    title: str
    num_classes: int
    num_train: int
    num_test: int
    source: str
    licence: str
    uncertain: str = ""


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
    ),
}


def check_dataset(name: str) -> None:
    """Raise InputError unless `name` is in the registry or reads `folder:PATH`."""
    if name in DATASETS or (name.startswith(FOLDER_PREFIX) and name != FOLDER_PREFIX):
        return
    known = ", ".join(DATASETS)
    raise InputError(f"dataset = {name!r}: known are {known}, or {FOLDER_PREFIX}PATH for your own images")
