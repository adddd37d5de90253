"""CIFAR in small files of the real format, against torchvision reading the same files."""

import os
import pickle
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers import READERS
from revit.datasets.readers.cifar import CIFAR10, CIFAR100, Cifar, load_pickle
from revit.errors import InputError
from tests.revit.datasets.sample_files import cifar_contents, cut, packed, tar_of

ORACLES = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}
BOTH = pytest.mark.parametrize("cifar", [CIFAR10, CIFAR100], ids=lambda cifar: cifar.name)
IMAGES = {"data_batch_1": 7, "train": 30, "test_batch": 5, "test": 11}


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
    file = BytesIO()
    Python2Pickler(file, protocol=2).dump(record)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def batch_of(cifar: Cifar, name: str) -> dict[str, Any]:
    count = IMAGES.get(name, 3)
    rng = np.random.default_rng(len(name) + count)
    labels = rng.integers(0, int(cifar.name.removeprefix("cifar")), count).tolist()
    data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    record = {"batch_label": name, cifar.label_key: labels, "data": data, "filenames": [f"{n}.png" for n in labels]}
    return record | ({"coarse_labels": [0] * count} if cifar is CIFAR100 else {})


def contents_of(cifar: Cifar) -> dict[str, bytes]:
    """Every file of a small CIFAR."""
    contents = {f"{cifar.folder}/{name}": python2_pickle(batch_of(cifar, name)) for name in cifar.batches}
    names = [f"class {number}" for number in range(int(cifar.name.removeprefix("cifar")))]
    contents[f"{cifar.folder}/{cifar.meta}"] = python2_pickle({"num_vis": 3072, cifar.names_key: names})
    return contents


def pack(path: Path, contents: dict[str, bytes]) -> None:
    """A .tar.gz with a folder and a page beside them, in another order than that they are read in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        folder = tarfile.TarInfo(next(iter(contents)).split("/")[0])
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in [*reversed(contents.items()), (f"{folder.name}/readme.html", b"<html>")]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))


def unpack(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def opened(cifar: Cifar, data_dir: Path) -> ImageStore:
    return open_store(cifar.name, data_dir=data_dir, cache_dir=data_dir.parent / "cache")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@BOTH
@pytest.mark.parametrize("packed", [False, True])
def test_cifar_is_what_torchvision_reads(
    cifar: Cifar, packed: bool, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    contents = contents_of(cifar)
    assert all(b"cnumpy.core.multiarray\n_reconstruct" in contents[name] for name in cifar.files[:-1])
    oracle_dir = data_dir.parent / "oracle"
    unpack(oracle_dir, contents)
    if packed:
        pack(data_dir / cifar.archive, contents)
    else:
        unpack(data_dir, contents)
    store = opened(cifar, data_dir)
    for train in (True, False):
        oracle = ORACLES[cifar.name](oracle_dir, train=train)
        ours = np.flatnonzero(store.is_test != train)
        assert np.array_equal(np.stack([store.image(index) for index in ours]), oracle.data)
        assert store.labels[ours].tolist() == oracle.targets
        assert list(store.manifest.class_names) == oracle.classes
    assert store.manifest.channels == 3


@BOTH
def test_the_layout_is_torchvisions(cifar: Cifar) -> None:
    oracle = ORACLES[cifar.name]
    assert (cifar.archive, cifar.folder) == (oracle.filename, oracle.base_folder)
    assert list(cifar.batches) == [name for name, _ in (*oracle.train_list, *oracle.test_list)]
    assert (cifar.meta, cifar.names_key) == (oracle.meta["filename"], oracle.meta["key"])


def test_packed_and_unpacked_are_one_store(data_dir: Path) -> None:
    pack(data_dir / CIFAR10.archive, contents_of(CIFAR10))
    packed = opened(CIFAR10, data_dir)
    assert not (data_dir / CIFAR10.folder).exists()
    unpack(data_dir, contents_of(CIFAR10))
    assert READERS["cifar10"].find(data_dir) != [data_dir / CIFAR10.archive]
    assert opened(CIFAR10, data_dir).folder == packed.folder


class Evil:
    """Its pickle calls a function while it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_a_pickle_that_calls_a_function_is_named_and_not_executed(data_dir: Path) -> None:
    harm = data_dir / "harm"
    contents = contents_of(CIFAR10)
    contents["cifar-10-batches-py/data_batch_2"] = pickle.dumps(Evil(os.mkdir, str(harm)))
    pack(data_dir / CIFAR10.archive, contents)
    with pytest.raises(InputError, match=r"cifar-10-python\.tar\.gz: cifar-10-batches-py/data_batch_2 wants.*mkdir"):
        opened(CIFAR10, data_dir)
    assert not harm.exists()


@pytest.mark.parametrize("value", [print, np.load, Evil(eval, "1"), os.system, np.memmap, pickle.Unpickler])
def test_only_numpy_arrays_are_unpickled(value: Any) -> None:
    with pytest.raises(InputError, match=r"^the file wants to load [\w.]+: not a CIFAR pickle"):
        load_pickle(pickle.dumps({"data": value}), "the file")


def test_a_truncated_pickle_is_a_one_line_error() -> None:
    whole = python2_pickle(batch_of(CIFAR10, "data_batch_1"))
    for length in range(0, len(whole) - 1, 97):
        with pytest.raises(InputError, match=r"^it is not a readable pickle: [^\n]*$"):
            load_pickle(whole[:length], "it")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, 1]}, "data_batch_1 has 7 images and 2 labels"),
        ({"labels": [10] * 7}, "data_batch_1: labels is not a list of classes from 0 to 9"),
        ({"labels": ["0"] * 7}, "data_batch_1: labels is not a list of classes"),
        ({"data": np.zeros((7, 3072))}, "data_batch_1: data is not an array of 3,072 bytes per image"),
        ({"data": np.zeros((7, 99), np.uint8)}, "data_batch_1: data is not an array of 3,072 bytes per image"),
        ({"data": [1, 2]}, "data_batch_1: data is not an array"),
    ],
)
def test_a_batch_that_does_not_fit_is_named(data_dir: Path, change: dict[str, Any], message: str) -> None:
    contents = contents_of(CIFAR10)
    batch = batch_of(CIFAR10, "data_batch_1") | change
    contents["cifar-10-batches-py/data_batch_1"] = python2_pickle(batch)
    unpack(data_dir, contents)
    with pytest.raises(InputError, match=message):
        opened(CIFAR10, data_dir)


@pytest.mark.parametrize("key", ["data", "labels"])
def test_a_batch_without_a_key_is_named(data_dir: Path, key: str) -> None:
    contents = contents_of(CIFAR10)
    batch = batch_of(CIFAR10, "data_batch_1")
    del batch[key]
    contents["cifar-10-batches-py/data_batch_1"] = python2_pickle(batch)
    unpack(data_dir, contents)
    with pytest.raises(InputError, match=f"data_batch_1 lacks '{key}'"):
        opened(CIFAR10, data_dir)


def test_truncated_and_incomplete_archives_are_named(data_dir: Path) -> None:
    archive = data_dir / CIFAR10.archive
    contents = contents_of(CIFAR10)
    pack(archive, contents)
    whole = archive.read_bytes()
    for length in (0, 20, len(whole) // 2, len(whole) - 2000):
        archive.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cifar-10-python\.tar\.gz is not a readable \.tar\.gz"):
            opened(CIFAR10, data_dir)
    del contents["cifar-10-batches-py/test_batch"]
    pack(archive, contents)
    with pytest.raises(InputError, match=r"cifar-10-python\.tar\.gz lacks 1 .* cifar-10-batches-py/test_batch"):
        opened(CIFAR10, data_dir)


def test_a_missing_dataset_names_the_searched_paths(data_dir: Path) -> None:
    with pytest.raises(InputError, match=r"cifar100 not found: searched .*cifar-100-python\.tar\.gz$"):
        opened(CIFAR100, data_dir)


@pytest.mark.parametrize("file", ["data_batch_1", "batches.meta"])
@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
def test_a_damaged_pickle_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None], file: str
) -> None:
    whole, name = cifar_contents(), f"cifar-10-batches-py/{file}"
    fuzz(25, lambda content: read("cifar10", whole | {name: content}), damaged(whole[name]))
    head, rest = cut(whole[name], 200)
    fuzz(25, lambda content: read("cifar10", whole | {name: content + rest}), damaged(head))


@pytest.mark.parametrize("protocol", range(6))
def test_a_malicious_pickle_is_refused_in_every_file(
    read: Callable[..., ImageStore | None], tmp_path: Path, protocol: int
) -> None:
    harm = tmp_path / "harm"
    by_hand = Evil(exec, f"import os; os.mkdir({str(harm)!r})")
    whole = cifar_contents()
    for name in whole:
        for call in (Evil(os.mkdir, str(harm)), Evil(os.system, f"mkdir {harm}"), by_hand):
            for value in ({"data": call}, {"labels": [call]}, call):
                malicious = pickle.dumps(value, protocol)
                assert read("cifar10", whole | {name: malicious}) is None
                assert read("cifar10", {CIFAR10.archive: packed(tar_of(whole | {name: malicious}))}) is None
    assert not harm.exists()
