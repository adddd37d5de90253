"""Fashion-MNIST in small idx files, against torchvision reading the same files."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers.fashion_mnist import FASHION_MNIST_FILES, read_idx
from revit.errors import InputError
from tests.revit.datasets.sample_files import (
    cut,
    fashion_contents,
    idx_of,
    packed,
    raw,
)


def opened(dataset: str | Path, tmp_path: Path, data_dir: Path | None = None) -> ImageStore:
    name = dataset if isinstance(dataset, str) else f"folder:{dataset}"
    return open_store(name, data_dir=data_dir or tmp_path / "data", cache_dir=tmp_path / "cache")


def test_fashion_mnist_is_what_torchvision_reads(tmp_path: Path) -> None:
    """Small files in the real format, with the unpacked ones beside them that torchvision reads."""
    folder = tmp_path / "data" / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for name, array in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
            (folder / name).write_bytes(idx_of(array))
            (folder / f"{name}.gz").write_bytes(packed(idx_of(array)))
    store = opened("fashion_mnist", tmp_path)
    for train in (True, False):
        oracle = torchvision.datasets.FashionMNIST(tmp_path / "data", train=train)
        ours = np.flatnonzero(store.is_test != train)
        assert len(ours) == len(oracle)
        for index in (0, 5, len(ours) - 1):
            assert (store.image(ours[index])[..., 0] == oracle.data[index].numpy()).all()
            assert store.labels[ours[index]] == oracle.targets[index]


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x01", b"\0\0\x08\x01\0\0\0\x09abc", b"\0\0\x0d\x01" + bytes(8)])
def test_a_damaged_idx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "torn").write_bytes(packed(content))
    with pytest.raises(InputError, match="torn is not a readable idx file"):
        read_idx(tmp_path / "torn")


@pytest.mark.parametrize("file", FASHION_MNIST_FILES[:2])
@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
def test_a_damaged_idx_file_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None], file: str
) -> None:
    whole, name = fashion_contents(), raw(file)
    content = gzip.decompress(whole[name])
    head, rest = cut(content, 16)
    fuzz(15, lambda changed: read("fashion_mnist", whole | {name: packed(changed)}), damaged(content))
    fuzz(15, lambda changed: read("fashion_mnist", whole | {name: packed(changed + rest)}), damaged(head))
    fuzz(15, lambda changed: read("fashion_mnist", whole | {name: changed}), damaged(whole[name]))


def test_a_decompression_bomb_is_refused(
    read: Callable[..., ImageStore | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("revit.datasets.readers.fashion_mnist.MAX_UNPACKED_BYTES", 1 << 24)
    name, *_ = whole = fashion_contents()
    rest = {each: content for each, content in whole.items() if each != name}
    bomb = packed(idx_of(np.zeros((1 << 15, 28, 28), np.uint8)))
    assert len(bomb) < 1 << 18
    assert read("fashion_mnist", rest | {name: bomb}) is None
