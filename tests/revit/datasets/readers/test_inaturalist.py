"""iNaturalist in small files of the real format, against torchvision reading the same folders."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision

from revit.datasets.image_store import ImageStore, open_store
from revit.errors import BrokenImagesError, InputError, MissingInputError
from tests.revit.datasets.sample_files import image_file

SPECIES = {2: "Aves", 0: "Plantae", 1: "Plantae", 3: "Fungi"}
"""Its group by the id of a species, in an order that is not theirs."""
IMAGES = {"train": (0, 1, 2, 3, 0, 2), "val": (2, 1, 0)}
YEARS = pytest.mark.parametrize(("name", "year"), [("inat18", 2018), ("inat19", 2019)])


def annotations_of(year: int, part: str) -> dict[str, Any]:
    paths = [
        f"train_val{year}/{SPECIES[species]}/{species}/{part}{number}.jpg"
        for number, species in enumerate(IMAGES[part])
    ]
    ids = [100 * len(part) + number for number in range(len(paths))]
    return {
        "info": {"year": year},
        "images": [{"id": each, "file_name": path} for each, path in reversed(list(zip(ids, paths, strict=True)))],
        "categories": [{"id": each, "name": f"species {each}", "supercategory": SPECIES[each]} for each in SPECIES],
        "annotations": [
            {"id": each, "image_id": each, "category_id": species}
            for each, species in zip(ids, IMAGES[part], strict=True)
        ],
    }


def write_dataset(data_dir: Path, name: str, year: int) -> Path:
    folder = data_dir / name
    for part in IMAGES:
        annotations = annotations_of(year, part)
        for number, image in enumerate(annotations["images"]):
            path = folder / image["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image_file("jpeg", 40 + number))
        (folder / f"{part}{year}.json").write_text(json.dumps(annotations))
    return folder


def opened(name: str, data_dir: Path) -> ImageStore:
    return open_store(name, data_dir=data_dir, cache_dir=data_dir.parent / "cache")


@YEARS
def test_inaturalist_is_what_torchvision_reads(tmp_path: Path, name: str, year: int) -> None:
    folder = write_dataset(tmp_path / "data", name, year)
    shutil.copytree(folder / f"train_val{year}", folder / str(year))
    oracle = torchvision.datasets.INaturalist(folder, version=str(year))
    known = {path: (np.asarray(image), label) for (_, path), (image, label) in zip(oracle.index, oracle, strict=True)}
    store = opened(name, tmp_path / "data")
    names = [f"{part}{number}.jpg" for part in IMAGES for number in range(len(IMAGES[part]))]
    assert sorted(names) == sorted(known)
    for index, path in enumerate(names):
        image, label = known[path]
        assert np.array_equal(store.image(index), image)
        assert store.labels[index] == label
        assert bool(store.is_test[index]) is path.startswith("val")
    assert list(store.manifest.class_names) == [f"species {each}" for each in range(4)]


def test_each_image_stays_in_its_file_format(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", "inat18", 2018)
    store = opened("inat18", tmp_path / "data")
    sizes = [path.stat().st_size for path in folder.rglob("*.jpg")]
    assert (store.folder / "pixels.bin").stat().st_size == sum(sizes) < 3 * store.sizes.prod(1).sum()
    assert store.manifest.decoder


def test_another_image_is_found_without_a_look_at_every_file(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", "inat19", 2019)
    path = folder / "train_val2019" / "Plantae" / "0" / "train4.jpg"
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(BrokenImagesError, match=r"inat19 has 1 broken images: the image .*train4\.jpg cannot"):
        opened("inat19", tmp_path / "data")
    skipped = open_store("inat19", data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", skip_broken=True)
    os.utime(path.parent, ns=(0, 0))  # the clock of some disks is coarse
    path.write_bytes(content)
    again = open_store("inat19", data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", skip_broken=True)
    assert (len(skipped), len(again)) == (8, 9)


@YEARS
def test_without_its_files_it_is_not_found(tmp_path: Path, name: str, year: int) -> None:
    folder = write_dataset(tmp_path / "data", name, year)
    (folder / f"val{year}.json").unlink()
    wanted = rf"{name} for train{year}\.json, val{year}\.json, train_val{year}/\*/\*/\*\.jpg; available from https"
    with pytest.raises(MissingInputError, match=rf"{name} not found: searched .*{wanted}"):
        opened(name, tmp_path / "data")


def test_damaged_annotations_are_named(tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "data", "inat18", 2018) / "train2018.json"
    whole = json.loads(path.read_text())
    damaged = [
        "",
        "[]",
        path.read_text()[:-5],
        json.dumps(whole | {"images": whole["images"][1:]}),
        json.dumps(whole | {"categories": [{"id": 0}]}),
        json.dumps(whole | {"categories": whole["categories"][:2]}),
        json.dumps(whole | {"categories": 3}),
    ]
    for content in damaged:
        path.write_text(content)
        with pytest.raises(InputError, match=r"train2018\.json is not a readable file of annotations: "):
            opened("inat18", tmp_path / "data")
    path.write_text(json.dumps(whole | {"categories": [*whole["categories"], {"id": 12, "name": "species 12"}]}))
    with pytest.raises(InputError, match=r"val2018\.json has other categories than .*train2018\.json"):
        opened("inat18", tmp_path / "data")
