"""STL-10 in small files of the real format, against torchvision reading the same files."""

from pathlib import Path

import numpy as np
import pytest
import torchvision

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers.cifar_test_sets import CIFAR10_NAMES
from revit.datasets.readers.stl10 import STL10_NAMES
from revit.errors import InputError
from tests.revit.datasets.sample_files import packed, publish, tar_of

RNG = np.random.default_rng(0)
LABELS = np.array([8, 10, 1, 3, 9, 2, 4, 5, 8, 6, 7, 10], np.uint8)


def contents_of(images: bytes, labels: bytes) -> dict[str, bytes]:
    members = {"stl10_binary/test_X.bin": images, "stl10_binary/test_y.bin": labels}
    members |= {f"stl10_binary/train_{each}.bin": b"" for each in "Xy"} | {"stl10_binary/unlabeled_X.bin": b""}
    return {**members, "stl10_binary/class_names.txt": "\n".join(STL10_NAMES).encode()}


def opened(contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    archive = packed(tar_of(contents))
    publish(monkeypatch, "stl10", {"stl10_binary.tar.gz": archive})
    (tmp_path / "stl10_binary.tar.gz").write_bytes(archive)
    return open_store("stl10", data_dir=tmp_path, cache_dir=tmp_path / "cache")


def test_stl10_is_what_torchvision_reads_of_the_classes_of_cifar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.stl10.check_integrity", lambda *_: True)
    contents = contents_of(RNG.bytes(len(LABELS) * 3 * 96 * 96), LABELS.tobytes())
    store = opened(contents, tmp_path, monkeypatch)
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    oracle = torchvision.datasets.STL10(tmp_path, split="test")
    assert oracle.classes == STL10_NAMES
    named = [(np.asarray(image), oracle.classes[label]) for image, label in oracle]
    expected = [(image, "automobile" if name == "car" else name) for image, name in named if name != "monkey"]
    assert list(store.manifest.class_names) == CIFAR10_NAMES
    assert store.is_test.all()
    for index, (image, name) in enumerate(expected):
        assert np.array_equal(store.image(index), image)
        assert CIFAR10_NAMES[store.labels[index]] == name
    assert len(store) == len(expected) == 10


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = contents_of(bytes(2 * 3 * 96 * 96), b"\1\2")
    without = {name: content for name, content in whole.items() if not name.endswith("test_y.bin")}
    with pytest.raises(InputError, match=r"stl10_binary\.tar\.gz has no stl10_binary/test_y\.bin"):
        opened(without, tmp_path, monkeypatch)
    for labels in (b"\1", b"\0\1", b"\1\13"):
        with pytest.raises(InputError, match=rf"has 55,296 bytes of images and {len(labels)} labels"):
            opened(whole | {"stl10_binary/test_y.bin": labels}, tmp_path, monkeypatch)
