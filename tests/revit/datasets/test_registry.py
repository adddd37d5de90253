"""The registry of datasets, against torchvision."""

from pathlib import Path

import pytest

from revit.datasets.readers import READERS
from revit.datasets.registry import DATASETS, RemoteFile, caveats, check_dataset
from revit.errors import InputError

PACKAGED = ["digits", "mnist_5k", "faces", "textures", "specimens", "photos"]


def test_registry_and_readers_know_the_same_datasets() -> None:
    assert DATASETS.keys() == READERS.keys()


def test_the_registry_agrees_with_torchvision() -> None:
    from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST, Flowers102

    files = {Path(file.path).name: file.md5 for file in DATASETS["fashion_mnist"].files}
    assert files == dict(FashionMNIST.resources)
    assert {str(Path(file.path).parent) for file in DATASETS["fashion_mnist"].files} == {"FashionMNIST/raw"}
    urls = [file.url.removesuffix(Path(file.path).name) for file in DATASETS["fashion_mnist"].files]
    assert set(urls) <= set(FashionMNIST.mirrors)
    for name, oracle in (("cifar10", CIFAR10), ("cifar100", CIFAR100)):
        [file] = DATASETS[name].files
        assert file == RemoteFile(url=oracle.url, path=oracle.filename, md5=oracle.tgz_md5)
    flowers = {(file.url, file.path, file.md5) for file in DATASETS["flowers102"].files}
    prefix = Flowers102._download_url_prefix
    assert flowers == {(prefix + name, f"flowers-102/{name}", md5) for name, md5 in Flowers102._file_dict.values()}


@pytest.mark.parametrize("name", PACKAGED)
def test_each_packaged_dataset_has_a_source_a_license_and_a_caveat(name: str) -> None:
    spec = DATASETS[name]
    assert spec.source
    assert spec.license
    assert "ours" in spec.caveat, "who made the split"
    assert not spec.files
    assert spec.hub is None


def test_only_registered_datasets_have_caveats() -> None:
    assert caveats(["digits", "folder:/mine", "cifar10"]) == [f"dataset digits: {DATASETS['digits'].caveat}"]


def test_a_dataset_is_registered_or_a_folder() -> None:
    check_dataset("digits")
    check_dataset("folder:/mine")
    for name in ("digit", "folder:"):
        with pytest.raises(InputError, match=rf"dataset = '{name}': known are digits, fashion_mnist, .*folder:PATH"):
            check_dataset(name)
