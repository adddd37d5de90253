"""Caveats of a store."""

from dataclasses import replace
from pathlib import Path

import pytest

from revit.datasets.manifest import Manifest, read_manifest, store_caveats

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
def test_each_difference_is_a_caveat(change: dict[str, object], lines: list[str]) -> None:
    assert store_caveats(replace(FLAWLESS, **change)) == lines


def test_all_caveats_are_returned_together() -> None:
    flawed = replace(FLAWLESS, num_train=1, num_test=2, num_shared=2, class_names=("a",))
    assert len(store_caveats(flawed)) == 4


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    for manifest in (FLAWLESS, replace(FLAWLESS, skipped=("a.png",), decoder="Pillow 1")):
        manifest.write(tmp_path / "manifest.json")
        assert read_manifest(tmp_path / "manifest.json") == manifest
