"""Missing datasets, with a check that the sample files are valid."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers.base import read_members
from revit.datasets.readers.cifar import CIFAR10
from revit.errors import InputError, MissingInputError
from tests.revit.datasets.sample_files import (
    KINDS,
    cifar_contents,
    fashion_contents,
    flowers_contents,
    folder_contents,
    packed,
    publish,
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


def test_undamaged_files_are_read(read: Callable[..., ImageStore | None]) -> None:
    assert read("cifar10", cifar_contents())
    assert read("fashion_mnist", fashion_contents())
    assert read("flowers102", flowers_contents())
    assert read("weapons", tables(table_of()))
    assert all(read("folder:DATA", folder_contents(kind)) for kind in KINDS)


class Evil:
    """Its pickle calls a function while it is read."""

    def __init__(self, harm: Path) -> None:
        self.harm = harm

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.harm),)


@pytest.mark.parametrize(
    ("dataset", "whole"), [("cifar10", cifar_contents), ("flowers102", flowers_contents)], ids=["cifar10", "flowers102"]
)
def test_a_file_that_is_not_the_published_one_is_named_and_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, whole: Callable[[], dict[str, bytes]]
) -> None:
    publish(monkeypatch, dataset, whole())
    harm = tmp_path / "harm"
    malicious = packed(tar_of(dict.fromkeys(CIFAR10.files, pickle.dumps(Evil(harm)))))
    for name, content in whole().items():
        for changed in (b"", b"<html>not found</html>" * 20, content[:-1], content + b"\0", malicious):
            for path, each in {**whole(), name: changed}.items():
                (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / "data" / path).write_bytes(each)
            with pytest.raises(
                InputError, match=rf"{name} has the MD5 \w+; must be \w+, as published: download[^\n]*$"
            ):
                opened(dataset, tmp_path)
    assert not harm.exists()


def test_members_of_an_archive_are_read_in_memory(tmp_path: Path) -> None:
    archive = tmp_path / "some.tar.gz"
    archive.write_bytes(packed(tar_of({"a/one": b"1", "a/two": b"2", "../outside": b"3"})))
    assert read_members(archive, ["a/two", "a/one"]) == {"a/one": b"1", "a/two": b"2"}
    assert list(tmp_path.iterdir()) == [archive]
