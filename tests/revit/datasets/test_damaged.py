"""Files that were torn, changed or made to harm: each is read or refused in one line, and nothing of it is run.

Damage is done below the checksums of what it is packed in, so that it reaches the reader inside.
"""

import gzip
import hashlib
import io
import json
import os
import pickle
import resource
import shutil
import struct
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers.cifar import CIFAR10
from revit.datasets.readers.fashion_mnist import FASHION_MNIST_FILES
from revit.datasets.readers.flowers import PUBLISHED_MD5, SPLIT_KEYS
from revit.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")  # decoders warn of what they find before they give up
RNG = np.random.default_rng(0)
KINDS = ("png", "jpeg", "gif", "bmp", "tiff", "webp")
ROOM = 1 << 30
"""Bytes of memory that a damaged file may make a reader ask for before it is refused."""


@contextmanager
def little_room() -> Iterator[None]:
    """As long as it lasts, asking for more memory than ROOM fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ImageStore | None]:
    """Open a dataset of the given files: a store whose every image can be trained on, or None where it is refused."""
    monkeypatch.setattr("revit.datasets.readers.fashion_mnist.DEBIAN_FASHION_MNIST", tmp_path / "nowhere")
    for path, content in flowers_contents().items():
        monkeypatch.setitem(PUBLISHED_MD5, Path(path).name, hashlib.md5(content).hexdigest())

    def run(dataset: str, contents: dict[str, bytes]) -> ImageStore | None:
        box = tmp_path / "box"
        data = box / "in" / "data"
        shutil.rmtree(box, ignore_errors=True)
        for name, content in contents.items():
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            (data / name).write_bytes(content)
        before = everything_in(box)
        try:
            with little_room():
                store = open_store(dataset.replace("DATA", str(data)), data_dir=data, cache_dir=tmp_path / "cache")
        except InputError as error:
            assert str(error).isprintable()
            store = None
        else:
            num_classes = len(store.manifest.class_names)
            assert all(0 <= label < num_classes for label in store.labels)
            assert all(min(store.image(index).shape) > 0 for index in range(len(store)))
        assert everything_in(box) == before, "reading writes nothing"
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        return store

    return run


def everything_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


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


def cifar_contents() -> dict[str, bytes]:
    """A CIFAR-10 of two images a batch, in pickles of today."""
    batch = pickle.dumps({"data": RNG.integers(0, 256, (2, 3072), dtype=np.uint8), "labels": [1, 9]})
    names = [f"{CIFAR10.folder}/{name}" for name in (*CIFAR10.train_batches, CIFAR10.test_batch)]
    meta = pickle.dumps({"label_names": [f"class {number}" for number in range(10)]})
    return {**dict.fromkeys(names, batch), f"{CIFAR10.folder}/{CIFAR10.meta}": meta}


def idx_of(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def fashion_contents() -> dict[str, bytes]:
    images, labels = RNG.integers(0, 256, (4, 28, 28), dtype=np.uint8), np.arange(4, dtype=np.uint8)
    images_of, labels_of, test_images, test_labels = FASHION_MNIST_FILES
    names = {images_of: images, labels_of: labels, test_images: images, test_labels: labels}
    return {raw(name): idx_of(array) for name, array in names.items()}


def raw(name: str) -> str:
    return f"FashionMNIST/raw/{name}"


def photograph_contents() -> dict[str, bytes]:
    return {f"jpg/image_{number:05d}.jpg": image_file("jpeg") for number in range(1, 5)}


@cache
def flowers_contents() -> dict[str, bytes]:
    labels, splits = io.BytesIO(), io.BytesIO()
    savemat(labels, {"labels": np.array([[1, 2, 3, 102]], np.uint8)})
    savemat(splits, {key: np.array([[1 + number, 3]], np.uint16) for number, key in enumerate(SPLIT_KEYS.values())})
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


@pytest.mark.parametrize("packing", ["as it is", "in its archive"])
def test_whole_files_are_read(read: Callable[..., ImageStore | None], packing: str) -> None:
    cifar = cifar_contents()
    assert read("cifar10", {CIFAR10.archive: packed(tar_of(cifar))} if packing == "in its archive" else cifar)
    fashion = fashion_contents()
    assert read("fashion_mnist", {f"{n}.gz": packed(c) for n, c in fashion.items()} if packing[0] == "i" else fashion)
    assert read("flowers102", flowers_contents())
    assert read("weapons", tables(table_of()))
    assert all(read("folder:DATA", folder_contents(kind)) for kind in KINDS)


@pytest.mark.parametrize("file", ["data_batch_1", "batches.meta"])
def test_a_damaged_pickle_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None], file: str
) -> None:
    whole, name = cifar_contents(), f"cifar-10-batches-py/{file}"
    fuzz(25, lambda content: read("cifar10", whole | {name: content}), damaged(whole[name]))
    head, rest = cut(whole[name], 200)
    fuzz(25, lambda content: read("cifar10", whole | {name: content + rest}), damaged(head))


def test_a_damaged_archive_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None]
) -> None:
    whole = tar_of(cifar_contents())
    fuzz(15, lambda content: read("cifar10", {CIFAR10.archive: content}), damaged(packed(whole)))
    fuzz(15, lambda content: read("cifar10", {CIFAR10.archive: packed(content)}), damaged(whole))
    head, rest = cut(whole, 512)
    fuzz(15, lambda content: read("cifar10", {CIFAR10.archive: packed(content + rest)}), damaged(head))


@pytest.mark.parametrize("file", FASHION_MNIST_FILES[:2])
def test_a_damaged_idx_file_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None], file: str
) -> None:
    whole, name = {f"{each}.gz": packed(content) for each, content in fashion_contents().items()}, raw(f"{file}.gz")
    content = gzip.decompress(whole[name])
    head, rest = cut(content, 16)
    fuzz(15, lambda changed: read("fashion_mnist", whole | {name: packed(changed)}), damaged(content))
    fuzz(15, lambda changed: read("fashion_mnist", whole | {name: packed(changed + rest)}), damaged(head))
    fuzz(15, lambda changed: read("fashion_mnist", whole | {name: changed}), damaged(whole[name]))


@pytest.mark.parametrize("file", ["imagelabels.mat", "setid.mat"])
def test_a_damaged_matlab_table_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None], file: str
) -> None:
    whole, name = flowers_contents(), f"flowers-102/{file}"
    fuzz(25, lambda content: read("flowers102", whole | {name: content}), damaged(whole[name]))
    head, table = cut(whole[name], 128)
    fuzz(25, lambda content: read("flowers102", whole | {name: head + content}), damaged(table))


def test_a_damaged_photograph_in_an_archive_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None]
) -> None:
    whole, photographs = flowers_contents(), photograph_contents()
    first = next(iter(photographs))

    def check(content: bytes) -> None:
        archive = packed(tar_of(photographs | {first: content}))
        read("flowers102", whole | {"flowers-102/102flowers.tgz": archive})

    fuzz(15, check, damaged(photographs[first]))


def test_a_damaged_parquet_table_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None]
) -> None:
    whole = table_of()
    fuzz(37, lambda content: read("weapons", tables(content, whole)), damaged(whole))
    footer = int.from_bytes(whole[-8:-4], "little") + 8

    def check(content: bytes) -> None:
        end = len(content).to_bytes(4, "little") + b"PAR1"
        read("weapons", tables(whole[:-footer] + content + end, whole))

    fuzz(37, check, damaged(whole[-footer:-8]))


def test_a_table_of_other_columns_labels_and_names_is_read_or_refused(
    fuzz: Callable[..., None], read: Callable[..., ImageStore | None]
) -> None:
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just("a\nb"),
        lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each, max_size=3),
        max_leaves=5,
    )
    named = anything.map(lambda names: {"info": {"features": {"label": {"names": names}}}})
    features = named | anything | st.binary(max_size=9)
    labels = st.lists(st.none() | st.integers(0, 1) | st.integers(-(2**63), 2**63 - 1), max_size=3)
    picture = image_file("png", 4)
    struct_of = {
        "binary": (pa.binary(), picture),
        "large": (pa.large_binary(), picture),
        "text": (pa.string(), "x"),
        "number": (pa.int64(), 5),
        "none": (pa.binary(), None),
        "torn": (pa.binary(), picture[:30]),
        "list": (pa.list_(pa.uint8()), [1, 2]),
    }

    def check(labels: list[int | None], features: Any, kind: str, whole_image: bool) -> None:
        held, content = struct_of[kind]
        images = [{"bytes": content}] * len(labels) if whole_image else [None] * len(labels)
        image_type = pa.struct([("bytes", held)])
        table = table_of(labels=labels, images=images, image_type=image_type, features=features)
        read("weapons", tables(table, table))

    fuzz(50, check, labels, features, st.sampled_from(list(struct_of)), st.booleans())


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_image_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None], kind: str
) -> None:
    whole = folder_contents(kind)
    first = next(iter(whole))
    fuzz(20, lambda content: read("folder:DATA", whole | {first: content}), damaged(whole[first]))
    head, rest = cut(whole[first], 64)
    fuzz(20, lambda content: read("folder:DATA", whole | {first: content + rest}), damaged(head))


PARTS = st.sampled_from(["train", "test", "cat", "a\nb", "\udcff", "é", "x.jpg", ".png", " ", "[", "*", "b" * 200])


def test_folders_of_any_names_are_read_or_refused(
    fuzz: Callable[..., None], read: Callable[..., ImageStore | None]
) -> None:
    picture = image_file("png", 4)
    paths = st.lists(PARTS, min_size=1, max_size=3).map("/".join)

    def check(names: list[str], suffix: str) -> None:
        files = {f"{name}/{number}{suffix}": picture for number, name in enumerate(names)}
        read("folder:DATA", files)

    fuzz(25, check, st.lists(paths, max_size=5), st.sampled_from([".png", ".PNG", ".txt"]))


@pytest.mark.parametrize("name", ["manifest.json", "layout.npz", "pixels.bin"])
def test_a_damaged_store_is_opened_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    def opened() -> ImageStore:
        return open_store("faces", data_dir=tmp_path, cache_dir=tmp_path / "cache")

    file = opened().folder / name
    whole = file.read_bytes()

    def check(content: bytes) -> None:
        file.write_bytes(content)
        try:
            opened()
        except InputError as error:
            assert str(error).isprintable()

    fuzz(15, check, damaged(whole))
    [remembered] = (tmp_path / "cache" / "sources").glob("*.txt")
    file.write_bytes(whole)
    fuzz(10, lambda content: remembered.write_bytes(content) and opened(), damaged(remembered.read_bytes()))


class Evil:
    """Its pickle calls a function while it is read."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_do_harm_is_refused_wherever_it_hides(
    read: Callable[..., ImageStore | None], tmp_path: Path, protocol: int
) -> None:
    harm = tmp_path / "harm"
    by_hand = Evil(exec, f"import os; os.mkdir({str(harm)!r})")
    whole = cifar_contents()
    for name in whole:
        for call in (Evil(os.mkdir, str(harm)), Evil(os.system, f"mkdir {harm}"), by_hand):
            for value in ({"data": call}, {"labels": [call]}, call):
                torn = pickle.dumps(value, protocol)
                assert read("cifar10", whole | {name: torn}) is None
                assert read("cifar10", {CIFAR10.archive: packed(tar_of(whole | {name: torn}))}) is None
    assert not harm.exists()


INSTEAD_OF_ONE = "cifar-10-batches-py/data_batch_1"
LEADS_ASTRAY = {
    "a path upwards": {"name": "../outside"},
    "an absolute path": {"name": "ABSOLUTE"},
    "a link to elsewhere": {"name": INSTEAD_OF_ONE, "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    "a second name of a file": {"name": INSTEAD_OF_ONE, "type": tarfile.LNKTYPE, "linkname": "../outside"},
    "a device": {"name": INSTEAD_OF_ONE, "type": tarfile.CHRTYPE},
    "a pipe": {"name": INSTEAD_OF_ONE, "type": tarfile.FIFOTYPE},
    "a folder": {"name": INSTEAD_OF_ONE, "type": tarfile.DIRTYPE},
}


@pytest.mark.parametrize("case", LEADS_ASTRAY)
def test_a_member_that_leads_out_of_the_archive_is_never_followed(
    read: Callable[..., ImageStore | None], tmp_path: Path, case: str
) -> None:
    member = tarfile.TarInfo()
    for field, value in LEADS_ASTRAY[case].items():
        setattr(member, field, str(tmp_path / "outside") if value == "ABSOLUTE" else value)
    rest = {name: content for name, content in cifar_contents().items() if name != member.name}
    archive = packed(member.tobuf(tarfile.GNU_FORMAT) + tar_of(rest))
    whole = read("cifar10", {CIFAR10.archive: archive})
    assert (whole is None) == (member.name == INSTEAD_OF_ONE), "one that nobody asked for is left alone"
    assert not list(tmp_path.rglob("outside"))


def test_a_member_that_states_more_than_there_is_room_for_is_refused(read: Callable[..., ImageStore | None]) -> None:
    member = tarfile.TarInfo(INSTEAD_OF_ONE)
    for size in (1 << 33, 1 << 40, 1 << 60):
        member.size = size
        archive = packed(member.tobuf(tarfile.GNU_FORMAT) + bytes(5000))
        assert read("cifar10", {CIFAR10.archive: archive}) is None


def test_a_bomb_is_refused_before_it_fills_the_memory(
    read: Callable[..., ImageStore | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("revit.datasets.readers.archives.MAX_UNPACKED_BYTES", 1 << 24)
    name, *_ = whole = fashion_contents()
    rest = {each: content for each, content in whole.items() if each != name}
    bomb = packed(idx_of(np.zeros((1 << 15, 28, 28), np.uint8)))
    assert len(bomb) < 1 << 18
    assert read("fashion_mnist", rest | {f"{name}.gz": bomb}) is None
