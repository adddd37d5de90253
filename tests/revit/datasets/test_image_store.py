"""The image store: opened, cached, rebuilt."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers import reader_for
from revit.errors import InputError
from tests.revit.datasets.sample_files import write_image


def opened(dataset: str | Path, tmp_path: Path, data_dir: Path | None = None) -> ImageStore:
    name = dataset if isinstance(dataset, str) else f"folder:{dataset}"
    return open_store(name, data_dir=data_dir or tmp_path / "data", cache_dir=tmp_path / "cache")


def test_an_unsplit_folder_gets_the_same_stratified_split_each_time(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for number in range(10):
            write_image(tmp_path / "one" / name / f"{number}.png", "RGB", (8, 8), number)
    store = opened(tmp_path / "one", tmp_path)
    assert np.bincount(store.labels[store.is_test]).tolist() == [2, 2]
    again = open_store(f"folder:{tmp_path / 'one'}", data_dir=tmp_path, cache_dir=tmp_path / "other")
    assert (again.is_test == store.is_test).all()
    assert again.manifest.digest == store.manifest.digest


def test_a_store_is_rebuilt_only_when_a_pixel_changes(folder: Path, tmp_path: Path) -> None:
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


def test_images_in_both_splits_are_counted(folder: Path, tmp_path: Path) -> None:
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


def fingerprint_of_the_first_version(folder: Path) -> str:
    seen = hashlib.sha256(f"1 folder:{folder}".encode())
    for path in reader_for(f"folder:{folder}").find(folder):
        seen.update(f"\0{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return seen.hexdigest()[:32]


def test_a_store_of_an_older_version_is_updated(folder: Path, tmp_path: Path) -> None:
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
def test_digests_equal_the_golden_ones(dataset: str, cache_dir: Path) -> None:
    store = open_store(dataset, data_dir=cache_dir, cache_dir=cache_dir)
    assert store.manifest.digest.startswith(GOLDEN_DIGESTS[dataset])
    assert store.compute_digest() == store.manifest.digest
    assert {"skipped", "decoder"}.isdisjoint(json.loads((store.folder / "manifest.json").read_text()))


def test_writing_into_an_image_does_not_change_the_file(digits: ImageStore) -> None:
    ImageStore(digits.folder).image(0)[:] = 0  # of another store object
    assert ImageStore(digits.folder).image(0).any()


def test_a_failed_build_names_the_image_and_leaves_no_files(folder: Path, tmp_path: Path) -> None:
    torn = folder / "train" / "dog" / "torn.jpg"
    torn.write_bytes((folder / "train" / "dog" / "0.jpg").read_bytes()[:200])
    with pytest.raises(InputError, match=r"torn\.jpg cannot be decoded"):
        opened(folder, tmp_path)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["sources"]


def test_planning_a_dataset_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from revit.datasets.image_store import open_store\n"
        f"open_store('digits', data_dir=Path('.'), cache_dir=Path({str(tmp_path)!r}))\n"
        "assert not {'torch', 'torchvision', 'ray', 'mlflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


@pytest.mark.parametrize("name", ["manifest.json", "layout.npz", "pixels.bin"])
@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
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
