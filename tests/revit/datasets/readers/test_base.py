"""Missing datasets, with a check that the sample files are valid."""

from collections.abc import Callable
from pathlib import Path

import pytest

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers.cifar import CIFAR10
from revit.errors import InputError, MissingInputError
from tests.revit.datasets.sample_files import (
    KINDS,
    cifar_contents,
    fashion_contents,
    flowers_contents,
    folder_contents,
    packed,
    table_of,
    tables,
    tar_of,
)


def opened(dataset: str | Path, tmp_path: Path, data_dir: Path | None = None) -> ImageStore:
    name = dataset if isinstance(dataset, str) else f"folder:{dataset}"
    return open_store(name, data_dir=data_dir or tmp_path / "data", cache_dir=tmp_path / "cache")


def test_a_missing_dataset_names_the_folders_searched_and_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("revit.datasets.readers.fashion_mnist.DEBIAN_FASHION_MNIST", tmp_path / "nowhere")
    with pytest.raises(MissingInputError) as raised:
        opened("fashion_mnist", tmp_path)
    message = str(raised.value)
    assert str(tmp_path / "data" / "FashionMNIST" / "raw") in message
    assert raised.value.is_fetchable
    assert message.endswith("nowhere; available from Debian's package dataset-fashion-mnist")
    with pytest.raises(InputError, match="no such folder"):
        opened(tmp_path / "missing", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no images"):
        opened(tmp_path / "empty", tmp_path)


@pytest.mark.parametrize("packing", ["as it is", "in its archive"])
def test_undamaged_files_are_read(read: Callable[..., ImageStore | None], packing: str) -> None:
    cifar = cifar_contents()
    assert read("cifar10", {CIFAR10.archive: packed(tar_of(cifar))} if packing == "in its archive" else cifar)
    fashion = fashion_contents()
    assert read("fashion_mnist", {f"{n}.gz": packed(c) for n, c in fashion.items()} if packing[0] == "i" else fashion)
    assert read("flowers102", flowers_contents())
    assert read("weapons", tables(table_of()))
    assert all(read("folder:DATA", folder_contents(kind)) for kind in KINDS)
