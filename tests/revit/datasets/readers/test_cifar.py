"""CIFAR in small files of the real format, against torchvision reading the same files."""

from pathlib import Path

import numpy as np
import pytest
import torchvision

from revit.datasets.image_store import open_store
from revit.datasets.readers.cifar import CIFAR10, CIFAR100, Cifar
from revit.datasets.registry import DATASETS
from revit.errors import InputError
from tests.revit.datasets.sample_files import cifar_files, packed, publish, tar_of

ORACLES = {CIFAR10: torchvision.datasets.CIFAR10, CIFAR100: torchvision.datasets.CIFAR100}
BOTH = pytest.mark.parametrize(
    ("name", "cifar"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)], ids=["cifar10", "cifar100"]
)
IMAGES = {**dict.fromkeys(CIFAR10.batches, 3), "data_batch_1": 7, "train": 30, "test_batch": 5, "test": 11}


@BOTH
def test_cifar_is_what_torchvision_reads(
    name: str, cifar: Cifar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    contents = cifar_files(cifar, IMAGES)
    assert all(b"cnumpy.core.multiarray\n_reconstruct" in contents[name] for name in cifar.files[:-1])
    for file, content in contents.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(content)
    in_another_order = {f"{cifar.folder}/readme.html": b"<html>", **dict(reversed(contents.items()))}
    archive = {DATASETS[name].files[0].path: packed(tar_of(in_another_order))}
    publish(monkeypatch, name, archive)
    for path, content in archive.items():
        (tmp_path / path).write_bytes(content)
    store = open_store(name, data_dir=tmp_path, cache_dir=tmp_path / "cache")
    for train in (True, False):
        oracle = ORACLES[cifar](tmp_path, train=train)
        ours = np.flatnonzero(store.is_test != train)
        assert np.array_equal(np.stack([store.image(index) for index in ours]), oracle.data)
        assert store.labels[ours].tolist() == oracle.targets
        assert list(store.manifest.class_names) == oracle.classes
    assert store.manifest.channels == 3


@BOTH
def test_the_layout_is_torchvisions(name: str, cifar: Cifar) -> None:
    oracle = ORACLES[cifar]
    (file,) = DATASETS[name].files
    assert (file.path, file.md5, cifar.folder) == (oracle.filename, oracle.tgz_md5, oracle.base_folder)
    assert list(cifar.batches) == [name for name, _ in (*oracle.train_list, *oracle.test_list)]
    assert (cifar.meta, cifar.names_key) == (oracle.meta["filename"], oracle.meta["key"])


def test_a_missing_dataset_names_the_searched_paths(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cifar100 not found: searched .*cifar-100-python\.tar\.gz$"):
        open_store("cifar100", data_dir=tmp_path, cache_dir=tmp_path / "cache")
