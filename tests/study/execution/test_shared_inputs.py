"""Inputs by their digest, of a real image store and real files of weights."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.models.weights import PACKAGED
from study.execution import shared_inputs
from study.execution.shared_inputs import SharedInput, images_of, weights_of
from tests.study.example_plan import make_example


def test_inputs_of_a_trial_are_named_by_their_digests(tmp_path: Path, cache_dir: Path) -> None:
    trial = make_example(tmp_path, cache_dir).trials[0]
    images, weights = images_of(trial), weights_of(trial)
    assert (images.path, images.digest) == (trial.images, ImageStore(trial.images).manifest.digest)
    assert (images.name, images.stored_name) == (f"digits-{images.digest[:16]}", f"inputs/digits-{images.digest[:16]}")
    digest = hashlib.sha256((PACKAGED / "vit_nano.safetensors").read_bytes()).hexdigest()
    assert weights == SharedInput("weights", PACKAGED / "vit_nano.safetensors", digest)
    assert weights.name == f"vit_nano-{digest[:16]}.safetensors"
    assert (weights.is_packaged, images.is_packaged) == (True, False)


def test_weights_in_a_folder_are_its_file(tmp_path: Path, cache_dir: Path) -> None:
    trial = make_example(tmp_path, cache_dir).trials[0]
    shutil.copy(PACKAGED / "vit_nano.safetensors", tmp_path / "model.safetensors")
    weights = weights_of(replace(trial, weights=tmp_path))
    assert (weights.path, weights.is_packaged) == (tmp_path / "model.safetensors", False)
    assert weights.find_fault(weights.path) == ""
    assert weights_of(replace(trial, weights=None)) is None


def test_weights_are_read_again_only_where_the_file_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(
        shared_inputs,
        "weights_digest",
        lambda path: (read.append(path), hashlib.sha256(path.read_bytes()).hexdigest())[1],
    )
    file = tmp_path / "w.npz"
    file.write_bytes(b"content")
    weights = SharedInput("weights", file, hashlib.sha256(b"content").hexdigest())
    assert [weights.find_fault(file) for _ in range(3)] == [""] * 3
    assert read == [file]
    file.write_bytes(b"CONTENT")
    os.utime(file, (1, 1))
    assert (
        weights.find_fault(file)
        == f"{file} has the digest {hashlib.sha256(b'CONTENT').hexdigest()[:16]}, not " + (weights.digest[:16])
    )
    assert weights.find_fault(tmp_path / "gone") == f"{tmp_path / 'gone'} does not exist"


def test_a_thorough_look_finds_a_changed_pixel(tmp_path: Path, digits: ImageStore) -> None:
    images = SharedInput("images", digits.folder, digits.manifest.digest)
    copy = shutil.copytree(digits.folder, tmp_path / "copy")
    assert [images.find_fault(copy, thorough=thorough) for thorough in (False, True)] == ["", ""]
    pixels = bytearray((copy / "pixels.bin").read_bytes())
    pixels[99] ^= 1
    (copy / "pixels.bin").write_bytes(pixels)
    assert images.find_fault(copy) == ""
    found = ImageStore(copy).compute_digest()[:16]
    assert f"copy has the digest {found}, not {images.digest[:16]}" in images.find_fault(copy, thorough=True)
    (copy / "pixels.bin").write_bytes(b"")
    with pytest.raises(InputError, match="damaged"):
        images.find_fault(copy)


def test_a_node_is_searched_for_the_drivers_path_then_the_package_then_its_cache() -> None:
    images = SharedInput("images", Path("/driver/digits-0"), "0")
    weights = SharedInput("weights", Path("/driver/w.npz"), "0" * 64)
    assert images.places(Path("/cache")) == [Path("/driver/digits-0"), Path("/cache/digits-0")]
    in_cache = Path(f"/cache/weights/w-{'0' * 16}.npz")
    assert weights.places(Path("/cache")) == [Path("/driver/w.npz"), PACKAGED / "w.npz", in_cache]
