"""Fashion-MNIST in small idx files, against torchvision reading the same files."""

import gzip
import struct
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


def write_idx(path: Path, array: np.ndarray, *, packed: bool) -> None:
    content = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    if packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("packed", [False, True])
def test_fashion_mnist_is_what_torchvision_reads(tmp_path: Path, packed: bool) -> None:
    """Small files in the real format. torchvision reads only the uncompressed ones."""
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for name, array in ((f"{split}-images-idx3-ubyte", images), (f"{split}-labels-idx1-ubyte", labels)):
            write_idx(raw / name, array, packed=packed)
            if packed:
                write_idx(tmp_path / name, array, packed=False)
    if packed:
        oracle_root = tmp_path / "oracle"
        (oracle_root / "FashionMNIST" / "raw").mkdir(parents=True)
        for name in FASHION_MNIST_FILES:
            (tmp_path / name).rename(oracle_root / "FashionMNIST" / "raw" / name)
    else:
        oracle_root = tmp_path / "data"
    store = opened("fashion_mnist", tmp_path)
    for train in (True, False):
        oracle = torchvision.datasets.FashionMNIST(str(oracle_root), train=train)
        ours = np.flatnonzero(store.is_test != train)
        assert len(ours) == len(oracle)
        for index in (0, 5, len(ours) - 1):
            assert (store.image(ours[index])[..., 0] == oracle.data[index].numpy()).all()
            assert store.labels[ours[index]] == oracle.targets[index]


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x01", b"\0\0\x08\x01\0\0\0\x09abc", b"\0\0\x0d\x01" + bytes(8)])
def test_a_damaged_idx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "torn").write_bytes(content)
    with pytest.raises(InputError, match="torn is not a readable idx file"):
        read_idx(tmp_path / "torn")


@pytest.mark.parametrize("file", FASHION_MNIST_FILES[:2])
@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
def test_a_damaged_idx_file_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None], file: str
) -> None:
    whole, name = {f"{each}.gz": packed(content) for each, content in fashion_contents().items()}, raw(f"{file}.gz")
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
    assert read("fashion_mnist", rest | {f"{name}.gz": bomb}) is None
