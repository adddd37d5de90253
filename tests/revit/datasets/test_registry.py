"""The registry of datasets, against torchvision."""

from pathlib import Path

import pytest

from revit.datasets.dataset_spec import RemoteFile
from revit.datasets.readers import READERS
from revit.datasets.registry import (
    DATASETS,
    SPECS,
    TEST_SETS,
    caveats,
    check_dataset,
    check_test_sets,
    label_test_set,
)
from revit.errors import InputError

PACKAGED = ["digits", "mnist_5k", "faces", "textures", "specimens", "photos"]


def test_registry_and_readers_know_the_same_datasets() -> None:
    assert SPECS.keys() == READERS.keys()
    assert not DATASETS.keys() & TEST_SETS.keys()


def test_the_registry_agrees_with_torchvision() -> None:
    from torchvision.datasets import CIFAR10, CIFAR100, STL10, FashionMNIST, Flowers102

    files = {Path(file.path).name: file.md5 for file in DATASETS["fashion_mnist"].files}
    assert files == dict(FashionMNIST.resources)
    assert {str(Path(file.path).parent) for file in DATASETS["fashion_mnist"].files} == {"FashionMNIST/raw"}
    urls = [file.url.removesuffix(Path(file.path).name) for file in DATASETS["fashion_mnist"].files]
    assert set(urls) <= set(FashionMNIST.mirrors)
    for name, oracle in (("cifar10", CIFAR10), ("cifar100", CIFAR100), ("stl10", STL10)):
        [file] = SPECS[name].files
        assert file == RemoteFile(url=oracle.url, path=oracle.filename, md5=oracle.tgz_md5)
    prefix = Flowers102._download_url_prefix
    flowers = {(prefix + name, f"flowers-102/{name}", md5) for name, md5 in Flowers102._file_dict.values()}
    for name in ("flowers102", "flowers102_trainval"):
        assert {(file.url, file.path, file.md5) for file in DATASETS[name].files} == flowers


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


def test_test_sets_have_sources_and_checksums() -> None:
    assert len(TEST_SETS) == 2 + 2 * 19 * 5
    for spec in TEST_SETS.values():
        assert (spec.num_train, bool(spec.files), bool(spec.license)) == (0, True, True)
        assert all(len(file.checksum[1]) == {"md5": 32, "sha256": 64}[file.checksum[0]] for file in spec.files)
    assert SPECS["cifar100_c-fog-5"].original == "cifar100"
    assert not SPECS["cifar10.1"].original


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cifar10.2",), r"test_sets has 'cifar10\.2': known are digits, .*cifar10\.1, .*cifar10_c-CORRUPTION"),
        (("cifar10_c-fog-6",), "known are"),
        (("digits",), "digits stands twice, or is the dataset that is trained on"),
        (("faces", "faces"), "faces stands twice"),
        (("folder:/a/x", "folder:/b/x"), "x stands twice"),
        (("folder:/a/my set",), "must have letters, digits"),
        (("folder:",), "known are"),
    ],
)
def test_a_wrong_test_set_is_named(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_test_sets(names, "digits")


def test_a_test_set_is_called_by_its_name_or_its_folder() -> None:
    names = ("cifar10.1", "cifar10_c-fog-3", "mnist_5k", "folder:/data/field-photos/")
    check_test_sets(names, "digits")
    assert [label_test_set(name) for name in names] == ["cifar10.1", "cifar10_c-fog-3", "mnist_5k", "field-photos"]


def test_a_test_set_cannot_be_trained_on() -> None:
    with pytest.raises(InputError, match=r"dataset = 'cifar10\.1': it has no training images; name it in test_sets"):
        check_dataset("cifar10.1")
