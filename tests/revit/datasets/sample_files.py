"""Small files in the real formats, for tests that read or damage them."""

import gzip
import hashlib
import io
import json
import pickle
import struct
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat

from revit.datasets.dataset_spec import RemoteFile
from revit.datasets.readers.cifar import CIFAR10, Cifar
from revit.datasets.readers.fashion_mnist import FASHION_MNIST_FILES
from revit.datasets.readers.flowers import SPLITS
from revit.datasets.registry import DATASETS, TEST_SETS

RNG = np.random.default_rng(0)
KINDS = ("png", "jpeg", "gif", "bmp", "tiff", "webp")


def image_file(kind: str, side: int = 9) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (side, side + 2, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def tar_of(contents: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def packed(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=1)


def cut(content: bytes, length: int) -> tuple[bytes, bytes]:
    return content[:length], content[length:]


@cache
def cifar_contents() -> dict[str, bytes]:
    """A CIFAR-10 of two images a batch, in pickles of today."""
    batch = pickle.dumps({"data": RNG.integers(0, 256, (2, 3072), dtype=np.uint8), "labels": [1, 9]})
    meta = pickle.dumps({"label_names": [f"class {number}" for number in range(10)]})
    *batches, names = CIFAR10.files
    return {"cifar-10-python.tar.gz": packed(tar_of({**dict.fromkeys(batches, batch), names: meta}))}


class Python2Pickler(pickle._Pickler):
    """Writes bytes and text alike as Python 2's `str`, and numpy under its old name, as CIFAR's files have it."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_str2(self, value: bytes | str) -> None:
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_str2

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.dtype):
            return (np.dtype, (value.str[1:], 0, 1), value.__reduce__()[2])
        return NotImplemented


def python2_pickle(record: Any) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(record)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def cifar_files(cifar: Cifar, counts: Mapping[str, int]) -> dict[str, bytes]:
    """Every file of a CIFAR with so many images in each batch, its classes in turn."""
    num_classes = 10 if cifar is CIFAR10 else 100
    files = {}
    for name in cifar.batches:
        labels = [number % num_classes for number in range(counts[name])]
        record = {
            "batch_label": name,
            cifar.label_key: labels,
            "data": RNG.integers(0, 256, (len(labels), 3072), dtype=np.uint8),
            "filenames": [f"{label}.png" for label in labels],
        }
        coarse = {} if cifar is CIFAR10 else {"coarse_labels": [0] * len(labels)}
        files[f"{cifar.folder}/{name}"] = python2_pickle(record | coarse)
    names = [f"class {number}" for number in range(num_classes)]
    files[f"{cifar.folder}/{cifar.meta}"] = python2_pickle({"num_vis": 3072, cifar.names_key: names})
    return files


def publish(monkeypatch: pytest.MonkeyPatch, dataset: str, contents: dict[str, bytes]) -> None:
    """Let these be the published files of a dataset."""
    registry = DATASETS if dataset in DATASETS else TEST_SETS
    spec = registry[dataset]
    files = tuple(replace(file, **_digest_like(file, contents[file.path])) for file in spec.files)
    monkeypatch.setitem(registry, dataset, replace(spec, files=files))


def _digest_like(file: RemoteFile, content: bytes) -> dict[str, str]:
    algorithm, _ = file.checksum
    return {algorithm: hashlib.new(algorithm, content).hexdigest()}


def idx_of(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def fashion_contents() -> dict[str, bytes]:
    images, labels = RNG.integers(0, 256, (4, 28, 28), dtype=np.uint8), np.arange(4, dtype=np.uint8)
    images_of, labels_of, test_images, test_labels = FASHION_MNIST_FILES
    names = {images_of: images, labels_of: labels, test_images: images, test_labels: labels}
    return {raw(name): packed(idx_of(array)) for name, array in names.items()}


def raw(name: str) -> str:
    return f"FashionMNIST/raw/{name}"


def photograph_contents() -> dict[str, bytes]:
    return {f"jpg/image_{number:05d}.jpg": image_file("jpeg") for number in range(1, 5)}


@cache
def flowers_contents() -> dict[str, bytes]:
    labels, splits = io.BytesIO(), io.BytesIO()
    savemat(labels, {"labels": np.array([[1, 2, 3, 102]], np.uint8)})
    savemat(splits, {key: np.array([[1 + number, 3]], np.uint16) for number, key in enumerate(SPLITS)})
    return {
        "flowers-102/imagelabels.mat": labels.getvalue(),
        "flowers-102/setid.mat": splits.getvalue(),
        "flowers-102/102flowers.tgz": packed(tar_of(photograph_contents())),
    }


IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {"info": {"features": {"label": {"names": ["daisy", "rose"], "_type": "ClassLabel"}}}}


def table_of(
    *, labels: Any = (0, 1), images: Any = None, image_type: Any = IMAGE_TYPE, features: Any = FEATURES
) -> bytes:
    images = images or [{"bytes": image_file("png", 4 + number), "path": "x.png"} for number in range(len(labels))]
    table = pa.table({"image": pa.array(images, image_type), "label": pa.array(labels, pa.int64())})
    text = features if isinstance(features, bytes) else json.dumps(features).encode()
    file = io.BytesIO()
    parquet.write_table(table.replace_schema_metadata({"huggingface": text}), file, compression="none")
    return file.getvalue()


def tables(train: bytes, test: bytes | None = None) -> dict[str, bytes]:
    return {"weapons/train-0.parquet": train, "weapons/test-0.parquet": train if test is None else test}


def folder_contents(kind: str) -> dict[str, bytes]:
    names = [f"{split}/{name}/1.{kind}" for split in ("train", "test") for name in ("cat", "dog")]
    return {name: image_file(kind) for name in names}


def write_image(path: Path, mode: str, size: tuple[int, int], seed: int) -> np.ndarray:
    """An image file of random pixels; returns what PIL decodes it to, in RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": 1, "RGB": 3, "RGBA": 4, "P": 1}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    Image.frombytes(mode, size, pixels.tobytes()).save(path)
    return np.asarray(Image.open(path).convert("RGB"))
