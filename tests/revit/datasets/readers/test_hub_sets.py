"""Datasets in the folder of their name: tables as the hub keeps them, or class folders."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torchvision
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from revit.datasets.image_store import ImageStore, open_store
from revit.datasets.readers import reader_for
from revit.errors import InputError
from tests.revit.datasets.sample_files import image_file, table_of, tables

NAMES = ["daisy", "rose"]
SIZES = {"train": 5, "test": 3}


def numbered_image(number: int, *, kind: str = "png") -> bytes:
    """An image of its own size; every third is gray."""
    rng = np.random.default_rng(number)
    shape = (8 + number, 11) if number % 3 == 0 else (8 + number, 11, 3)
    file = BytesIO()
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def write_table(path: Path, numbers: list[int], *, names: list[str] | None = NAMES, **columns: pa.Array) -> None:
    """A parquet file as `datasets` writes it: image struct{bytes, path}, label, and the features as metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": numbered_image(number), "path": f"{number}.png"} for number in numbers]
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    both = {"image": pa.array(images, image_type), "label": pa.array([number % 2 for number in numbers])} | columns
    table = pa.table({name: column for name, column in both.items() if column is not None})
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=2)


def opened(name: str, tmp_path: Path) -> ImageStore:
    return open_store(name, data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    "paths",
    [
        ("train-00000-of-00001-ab.parquet", "test-00000-of-00001-ab.parquet"),
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
    ],
)
def test_every_row_of_the_tables_is_read(tmp_path: Path, paths: tuple[str, str]) -> None:
    folder = tmp_path / "data" / "flowers102_nelorth"
    write_table(folder / paths[0], list(range(5)))
    write_table(folder / paths[1], [7, 8, 9])
    write_table(folder / paths[1].replace("test", "validation"), [10])
    store = opened("flowers102_nelorth", tmp_path)
    assert store.manifest.class_names == ("daisy", "rose")
    assert store.is_test.tolist() == [False] * 5 + [True] * 3
    for index, number in enumerate([0, 1, 2, 3, 4, 7, 8, 9]):
        assert store.labels[index] == number % 2
        oracle = np.asarray(Image.open(BytesIO(numbered_image(number))).convert("RGB"))
        assert np.array_equal(store.image(index), oracle)


def test_the_files_of_a_table_are_read_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "weapons" / "data"
    write_table(folder / "train-00001-of-00002.parquet", [2, 3])
    write_table(folder / "train-00000-of-00002.parquet", [0, 1])
    write_table(folder / "test-00000-of-00001.parquet", [4, 5])
    store = opened("weapons", tmp_path)
    assert store.sizes[:, 0].tolist() == [8, 9, 10, 11, 12, 13]


def test_classes_without_names_are_numbered(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "weapons"
    write_table(folder / "train-0.parquet", [0, 1], names=None)
    write_table(folder / "test-0.parquet", [2, 3], names=None, label=pa.array([2, 0]))
    assert opened("weapons", tmp_path).manifest.class_names == ("0", "1", "2")


DAMAGED_IMAGE = pa.array([{"bytes": numbered_image(0)}, {"bytes": b"torn"}], pa.struct([("bytes", pa.binary())]))
NO_BYTES = pa.array([{"path": "here.png"}] * 2, pa.struct([("path", pa.utf8())]))
NO_IMAGE = pa.array([{"bytes": None, "path": "here.png"}] * 2, pa.struct([("bytes", pa.binary()), ("path", pa.utf8())]))


@pytest.mark.parametrize(
    ("columns", "names", "message"),
    [
        ({"image": None}, NAMES, "has the columns label; must have 'image' of bytes"),
        ({"image": pa.array(["a.png", "b.png"])}, NAMES, "has the columns image, label; must have 'image' of bytes"),
        ({"image": NO_BYTES}, NAMES, "has the columns image, label; must have 'image' of bytes"),
        ({"label": None}, NAMES, "has the columns image; must have .*'label' of whole"),
        ({"label": pa.array(["a", "b"])}, NAMES, "has the columns image, label; must have .*'label' of whole"),
        ({"label": pa.array([0, None])}, NAMES, "rows without a label"),
        ({}, ["tulip", "rose"], "names other classes than"),
        ({"image": DAMAGED_IMAGE}, NAMES, "row 1 cannot be decoded"),
        ({"image": NO_IMAGE}, NAMES, "row 0 has no bytes"),
    ],
)
def test_a_table_that_does_not_fit_is_named(
    tmp_path: Path, columns: dict[str, pa.Array], names: list[str], message: str
) -> None:
    folder = tmp_path / "data" / "weapons"
    write_table(folder / "train-0.parquet", [0, 1])
    write_table(folder / "test-0.parquet", [2, 3], names=names, **columns)
    with pytest.raises(InputError, match=rf"test-0\.parquet,? [^\n]*{message}|test-0\.parquet:? {message}"):
        opened("weapons", tmp_path)


@pytest.mark.parametrize("label", [2, -1])
def test_a_label_without_a_class_is_named(tmp_path: Path, label: int) -> None:
    write_table(tmp_path / "data/weapons/train-0.parquet", [0, 1])
    write_table(tmp_path / "data/weapons/test-0.parquet", [2, 3], label=pa.array([0, label]))
    with pytest.raises(InputError, match=f"^dataset weapons: image 3 is of class {label}; there are 0 to 1$"):
        opened("weapons", tmp_path)


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "weapons"
    write_table(folder / "train-0.parquet", list(range(8)))
    write_table(folder / "test-0.parquet", [2, 3])
    damaged_file = folder / "train-0.parquet"
    whole = damaged_file.read_bytes()
    for content in (b"", whole[:-9], b"<html>", whole[:4] + bytes(200) + whole[204:]):
        damaged_file.write_bytes(content)
        with pytest.raises(InputError, match=r"train-0\.parquet[^\n]*not a readable parquet[^\n]*$"):
            opened("weapons", tmp_path)


@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
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


@pytest.mark.filterwarnings("ignore")  # decoders warn about damaged files before they raise
def test_a_table_with_random_columns_labels_and_names_is_read_or_refused(
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
        "damaged": (pa.binary(), picture[:30]),
        "list": (pa.list_(pa.uint8()), [1, 2]),
    }

    def check(labels: list[int | None], features: Any, kind: str, whole_image: bool) -> None:
        held, content = struct_of[kind]
        images = [{"bytes": content}] * len(labels) if whole_image else [None] * len(labels)
        image_type = pa.struct([("bytes", held)])
        table = table_of(labels=labels, images=images, image_type=image_type, features=features)
        read("weapons", tables(table, table))

    fuzz(50, check, labels, features, st.sampled_from(list(struct_of)), st.booleans())


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("brain_tumor_mri", "Training", "Testing"),
        ("plant_health", "train", "test"),
        ("weapons", "data/train", "data/test"),
    ],
)
def test_class_folders_are_what_torchvision_reads(tmp_path: Path, name: str, train: str, test: str) -> None:
    folder = tmp_path / "data" / name
    for part, numbers in ((train, range(6)), (test, range(6, 10)), ("valid", range(10, 12))):
        for number in numbers:
            path = folder / part / NAMES[number % 2] / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image_file("jpeg"))
    store = opened(name, tmp_path)
    assert len(store) == 10, "validation is left out"
    for part, is_test in ((train, False), (test, True)):
        oracle = torchvision.datasets.ImageFolder(folder / part)
        ours = np.flatnonzero(store.is_test == is_test)
        for index, (image, label) in zip(ours, oracle, strict=True):
            assert np.array_equal(store.image(index), np.asarray(image))
            assert store.labels[index] == label
        assert tuple(oracle.classes) == store.manifest.class_names


@pytest.mark.parametrize("there", [[], ["train/daisy/1.png"], ["train/daisy/1.png", "test/notes.txt"], ["x/1.png"]])
def test_without_both_splits_it_is_not_found(tmp_path: Path, there: list[str]) -> None:
    folder = tmp_path / "data" / "plant_health"
    for name in there:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(image_file("png"))
    with pytest.raises(
        InputError, match=r"^dataset plant_health not found: searched .*/plant_health for train/CLASS/.*parquet$"
    ):
        reader_for("plant_health").find(tmp_path / "data")
