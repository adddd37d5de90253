import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.manifest import Manifest, store_caveats
from revit.datasets.readers import READERS, reader_for
from revit.datasets.readers.fashion_mnist import FASHION_MNIST_FILES, read_idx
from revit.datasets.registry import DATASETS
from revit.errors import InputError, MissingInputError


def write_image(path: Path, mode: str, size: tuple[int, int], seed: int) -> np.ndarray:
    """An image file of random pixels; returns what PIL decodes it to, in RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": 1, "RGB": 3, "RGBA": 4, "P": 1}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    Image.frombytes(mode, size, pixels.tobytes()).save(path)
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An ImageFolder of two classes with train/ and test/, in odd sizes and every mode."""
    root = tmp_path / "animals"
    for split, count in (("train", 6), ("test", 3)):
        for name in ("cat", "dog"):
            for number in range(count):
                mode = ("RGB", "L", "RGBA", "P")[number % 4]
                suffix = "jpg" if mode in ("RGB", "L") else "png"
                write_image(root / split / name / f"{number}.{suffix}", mode, (11 + number, 7 + number), number)
    return root


def opened(dataset: str | Path, tmp_path: Path, data_dir: Path | None = None) -> ImageStore:
    name = dataset if isinstance(dataset, str) else f"folder:{dataset}"
    return open_store(name, data_dir=data_dir or tmp_path / "data", cache_dir=tmp_path / "cache")


def test_registry_and_readers_know_the_same_datasets() -> None:
    assert DATASETS.keys() == READERS.keys()


def test_an_image_folder_is_what_torchvision_reads(folder: Path, tmp_path: Path) -> None:
    store = opened(folder, tmp_path)
    for split, is_test in (("train", False), ("test", True)):
        oracle = torchvision.datasets.ImageFolder(folder / split)
        assert tuple(oracle.classes) == store.manifest.class_names
        ours = np.flatnonzero(store.is_test == is_test)
        assert len(ours) == len(oracle)
        for index, (image, label) in zip(ours, oracle, strict=True):
            assert (store.image(index) == np.asarray(image)).all()
            assert store.labels[index] == label


def test_images_in_folders_below_a_class_belong_to_it(folder: Path, tmp_path: Path) -> None:
    write_image(folder / "train" / "cat" / "deep" / "er" / "1.png", "RGB", (8, 8), 1)
    store = opened(folder, tmp_path)
    assert store.manifest.num_train == len(torchvision.datasets.ImageFolder(folder / "train")) == 13


def test_train_and_test_must_have_the_same_classes(folder: Path, tmp_path: Path) -> None:
    write_image(folder / "test" / "mouse" / "1.png", "RGB", (8, 8), 1)
    with pytest.raises(InputError, match="different classes; only one has mouse"):
        opened(folder, tmp_path)


def test_one_folder_is_split_stratified_and_always_alike(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for number in range(10):
            write_image(tmp_path / "one" / name / f"{number}.png", "RGB", (8, 8), number)
    store = opened(tmp_path / "one", tmp_path)
    assert np.bincount(store.labels[store.is_test]).tolist() == [2, 2]
    again = open_store(f"folder:{tmp_path / 'one'}", data_dir=tmp_path, cache_dir=tmp_path / "other")
    assert (again.is_test == store.is_test).all()
    assert again.manifest.digest == store.manifest.digest


def test_a_store_is_built_once_and_again_when_a_pixel_changes(folder: Path, tmp_path: Path) -> None:
    first = opened(folder, tmp_path)
    written = (first.folder / "pixels.bin").stat().st_mtime_ns
    assert opened(folder, tmp_path).folder == first.folder
    assert (first.folder / "pixels.bin").stat().st_mtime_ns == written
    write_image(folder / "train" / "cat" / "0.png", "RGB", (11, 7), seed=99)
    assert opened(folder, tmp_path).manifest.digest != first.manifest.digest


def test_two_processes_building_at_once_get_one_store(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from revit.datasets.image_store import open_store\n"
        "print(open_store(sys.argv[1], data_dir=Path('.'), cache_dir=Path(sys.argv[2])).folder)"
    )
    command = [sys.executable, "-c", code, f"folder:{folder}", str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0] == answers[1] != ""
    assert not list((tmp_path / "cache").glob("building-*"))


def test_test_images_that_are_training_images_too_are_counted(folder: Path, tmp_path: Path) -> None:
    """Equal pixels count, whatever the class or the file; an equal string of pixels in another shape does not."""
    assert opened(folder, tmp_path).manifest.num_shared == 6, "the fixture draws both splits alike"
    for number in range(3):
        write_image(folder / "test" / "cat" / f"{number}.png", "RGB", (9, 9), 100 + number)
        (folder / "test" / "cat" / f"{number}.jpg").unlink(missing_ok=True)
        write_image(folder / "test" / "dog" / f"{number}.png", "RGB", (9, 9), 200 + number)
        (folder / "test" / "dog" / f"{number}.jpg").unlink(missing_ok=True)
    assert opened(folder, tmp_path).manifest.num_shared == 0
    write_image(folder / "train" / "dog" / "again.bmp", "RGB", (9, 9), 101)
    write_image(folder / "train" / "dog" / "again twice.bmp", "RGB", (9, 9), 101)
    write_image(folder / "train" / "cat" / "flat.png", "RGB", (27, 3), 201)
    assert opened(folder, tmp_path).manifest.num_shared == 1


FLAWLESS = Manifest(
    dataset="plant_health",
    digest="",
    class_names=("a", "b", "healthy"),
    channels=3,
    num_train=600,
    num_test=99,
    num_shared=0,
)


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"num_train": 602}, ["dataset plant_health has 602 training images here; the registry says 600"]),
        ({"num_test": 1234}, ["dataset plant_health has 1,234 test images here; the registry says 99"]),
        ({"class_names": ("a", "b")}, ["dataset plant_health has 2 classes here; the registry says 3"]),
        (
            {"num_shared": 7},
            ["dataset plant_health: 7 of its 99 test images are training images too, pixel by pixel"],
        ),
        (
            {"dataset": "folder:/mine", "num_shared": 7},
            ["dataset folder:/mine: 7 of its 99 test images are training images too, pixel by pixel"],
        ),
        ({"dataset": "folder:/mine", "num_train": 1}, []),
    ],
)
def test_what_a_reader_should_know_is_remarked(change: dict[str, object], lines: list[str]) -> None:
    assert store_caveats(replace(FLAWLESS, **change)) == lines


def test_all_flaws_are_remarked_together() -> None:
    flawed = replace(FLAWLESS, num_train=1, num_test=2, num_shared=2, class_names=("a",))
    assert len(store_caveats(flawed)) == 4


def fingerprint_of_the_first_version(folder: Path) -> str:
    seen = hashlib.sha256(f"1 folder:{folder}".encode())
    for path in reader_for(f"folder:{folder}").find(folder):
        seen.update(f"\0{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return seen.hexdigest()[:32]


def test_a_store_of_an_older_version_is_brought_up_to_date(folder: Path, tmp_path: Path) -> None:
    """It lacks num_shared, and another fingerprint remembers it; its digest, and so its folder, is the same."""
    store = opened(folder, tmp_path)
    manifest = store.folder / "manifest.json"
    today = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({name: value for name, value in today.items() if name != "num_shared"}))
    [remembered] = (tmp_path / "cache" / "sources").glob("*.txt")
    remembered.rename(remembered.with_stem(fingerprint_of_the_first_version(folder)))
    again = opened(folder, tmp_path)
    assert again.folder == store.folder
    assert again.manifest == store.manifest
    assert json.loads(manifest.read_text()) == today


GOLDEN_DIGESTS = {
    "digits": "9d8142b0effe5652",
    "mnist_5k": "eb92eaa6a49a80e5",
    "faces": "0ca21c7dc5e578d0",
    "textures": "31eabe69b2922a6c",
    "specimens": "17c05b5d70cfba24",
    "photos": "0774b70a32a2e129",
}


@pytest.mark.parametrize("dataset", GOLDEN_DIGESTS)
def test_digests_that_identities_were_made_of_do_not_move(dataset: str, cache_dir: Path) -> None:
    store = open_store(dataset, data_dir=cache_dir, cache_dir=cache_dir)
    assert store.manifest.digest.startswith(GOLDEN_DIGESTS[dataset])
    assert {"skipped", "decoder"}.isdisjoint(json.loads((store.folder / "manifest.json").read_text()))


def test_reading_pixels_leaves_the_file_as_it_is(digits: ImageStore) -> None:
    ImageStore(digits.folder).image(0)[:] = 0  # of a store of its own: what is written stays with it
    assert ImageStore(digits.folder).image(0).any()


def test_an_image_that_cannot_be_decoded_is_named_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    torn = folder / "train" / "dog" / "torn.jpg"
    torn.write_bytes((folder / "train" / "dog" / "0.jpg").read_bytes()[:200])
    with pytest.raises(InputError, match=r"torn\.jpg cannot be decoded"):
        opened(folder, tmp_path)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["sources"]


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


def write_idx(path: Path, array: np.ndarray, *, packed: bool) -> None:
    content = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    if packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("packed", [False, True])
def test_fashion_mnist_is_what_torchvision_reads(tmp_path: Path, packed: bool) -> None:
    """On small files in the real format; torchvision itself reads only the unpacked ones."""
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
def test_a_torn_idx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "torn").write_bytes(content)
    with pytest.raises(InputError, match="torn is not a readable idx file"):
        read_idx(tmp_path / "torn")


def test_planning_a_dataset_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from revit.datasets.image_store import open_store\n"
        f"open_store('digits', data_dir=Path('.'), cache_dir=Path({str(tmp_path)!r}))\n"
        "assert not {'torch', 'torchvision', 'ray', 'mlflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
