"""Flowers-102 in small files of the real format, against torchvision reading the same files."""

import hashlib
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from PIL import Image
from scipy.io import loadmat, savemat

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers.flowers import FLOWER_NAMES, PUBLISHED_MD5
from revit.errors import InputError
from tests.revit.datasets.sample_files import cut, flowers_contents, packed, photograph_contents, tar_of

COUNT = 24
TABLES = {
    "trnid": np.array([[5, 3, 20, 7, 11]], np.uint16),
    "valid": np.array([[1, 2, 24]], np.uint16),
    "tstid": np.array([[22, 4, 6, 8, 9, 10, 12]], np.uint16),
}
LABELS = np.array([[1 + (number * 17) % 102 for number in range(COUNT)]], np.uint8)


def jpeg(number: int) -> bytes:
    """A photograph of its own size, as the real ones have."""
    pixels = np.random.default_rng(number).integers(0, 256, (20 + number, 30, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "jpeg")
    return file.getvalue()


def pack(path: Path, numbers: list[int]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for number in numbers:
            member = tarfile.TarInfo(f"jpg/image_{number:05d}.jpg")
            content = jpeg(number)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small files instead of the published ones, packed, with torchvision's unpacked copy beside them."""
    folder = tmp_path / "data" / "flowers-102"
    (folder / "jpg").mkdir(parents=True)
    savemat(folder / "imagelabels.mat", {"labels": LABELS})
    savemat(folder / "setid.mat", TABLES)
    for name in ("imagelabels.mat", "setid.mat"):
        monkeypatch.setitem(PUBLISHED_MD5, name, hashlib.md5((folder / name).read_bytes()).hexdigest())
    pack(folder / "102flowers.tgz", list(range(COUNT, 0, -1)))
    for number in range(1, COUNT + 1):
        (folder / "jpg" / f"image_{number:05d}.jpg").write_bytes(jpeg(number))
    return tmp_path / "data"


def opened(data_dir: Path) -> ImageStore:
    return open_store("flowers102", data_dir=data_dir, cache_dir=data_dir.parent / "cache")


@pytest.mark.parametrize("packed", [True, False])
def test_flowers_are_what_torchvision_reads(data_dir: Path, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.datasets.flowers102.check_integrity", lambda *_: True)
    if not packed:
        (data_dir / "flowers-102" / "102flowers.tgz").unlink()
    store = opened(data_dir)
    assert len(store) == 12, "the official validation images are left out"
    for split, is_test in (("train", False), ("test", True)):
        oracle = torchvision.datasets.Flowers102(data_dir, split=split)
        ours = np.flatnonzero(store.is_test == is_test)
        for index, (image, label) in zip(ours, oracle, strict=True):
            assert np.array_equal(store.image(index), np.asarray(image))
            assert store.labels[index] == label
    assert torchvision.datasets.Flowers102.classes == FLOWER_NAMES == list(store.manifest.class_names)


def test_packed_and_unpacked_are_one_store_and_nothing_is_unpacked(data_dir: Path) -> None:
    unpacked = data_dir / "flowers-102" / "jpg"
    unpacked.rename(data_dir / "aside")
    packed = opened(data_dir)
    assert not unpacked.exists()
    (data_dir / "aside").rename(unpacked)
    (data_dir / "flowers-102" / "102flowers.tgz").unlink()
    assert opened(data_dir).folder == packed.folder


@pytest.mark.parametrize("name", ["imagelabels.mat", "setid.mat"])
def test_a_damaged_table_is_named_and_not_opened(data_dir: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = data_dir / "flowers-102" / name
    whole = table.read_bytes()
    opened_files: list[bytes] = []
    monkeypatch.setattr("scipy.io.loadmat", lambda file: opened_files.append(file.getvalue()) or loadmat(file))
    for content in (b"", b"<html>not found</html>" * 20, whole[:-1], whole + b"\0", b"X" + whole[1:]):
        table.write_bytes(content)
        with pytest.raises(InputError, match=rf"^{table} has the MD5 \w+; must be \w+, as published: download[^\n]*$"):
            opened(data_dir)
        assert content not in opened_files


def test_missing_and_damaged_photographs_are_named(data_dir: Path) -> None:
    folder = data_dir / "flowers-102"
    (folder / "102flowers.tgz").unlink()
    (folder / "jpg" / "image_00020.jpg").write_bytes(jpeg(20)[:300])
    with pytest.raises(InputError, match=r"jpg/image_00020\.jpg cannot be decoded"):
        opened(data_dir)
    (folder / "jpg" / "image_00020.jpg").unlink()
    with pytest.raises(InputError, match=r"jpg lacks 1 of 12 photographs, first image_00020\.jpg"):
        opened(data_dir)
    pack(folder / "102flowers.tgz", list(range(1, 12)))
    with pytest.raises(InputError, match=r"102flowers\.tgz lacks 3 of its files, first jpg/image_00012\.jpg"):
        opened(data_dir)


@pytest.mark.parametrize("gone", ["imagelabels.mat", "setid.mat"])
def test_without_a_table_it_is_not_found(data_dir: Path, gone: str) -> None:
    (data_dir / "flowers-102" / gone).unlink()
    with pytest.raises(InputError, match=rf"flowers102 not found: searched .*{gone}"):
        opened(data_dir)


@pytest.mark.parametrize("file", ["imagelabels.mat", "setid.mat"])
@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
def test_a_fuzzed_matlab_table_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None], file: str
) -> None:
    whole, name = flowers_contents(), f"flowers-102/{file}"
    fuzz(25, lambda content: read("flowers102", whole | {name: content}), damaged(whole[name]))
    head, table = cut(whole[name], 128)
    fuzz(25, lambda content: read("flowers102", whole | {name: head + content}), damaged(table))


@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
def test_a_fuzzed_photograph_in_an_archive_is_read_or_refused(
    fuzz: Callable[..., None], damaged: Callable[..., Any], read: Callable[..., ImageStore | None]
) -> None:
    whole, photographs = flowers_contents(), photograph_contents()
    first = next(iter(photographs))

    def check(content: bytes) -> None:
        archive = packed(tar_of(photographs | {first: content}))
        read("flowers102", whole | {"flowers-102/102flowers.tgz": archive})

    fuzz(15, check, damaged(photographs[first]))
