import hashlib
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from revit.config import ModelConfig
from revit.errors import InputError
from revit.models.architectures import MODELS
from revit.models.weight_formats import read_checkpoint
from revit.models.weights import PACKAGED, WEIGHTS_DIR_VARIABLE, find_weights, hub_repo, weights_digest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights folder is named, and Hugging Face's cache is an empty one."""
    monkeypatch.delenv(WEIGHTS_DIR_VARIABLE, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def in_hub_cache(tmp_path: Path, repo: str, file: str) -> Path:
    """A file as huggingface_hub leaves it in its cache."""
    folder = tmp_path / "hub" / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    snapshot = folder / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    save_file({"w": torch.zeros(1)}, snapshot / file)
    return snapshot / file


def test_the_named_file_precedes_the_folder_and_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelConfig(name="vit_b16_in21k")
    with pytest.raises(
        InputError,
        match=r"^weights of vit_b16_in21k not found: searched .*pretrained and the cache of H.* for vit_b16_in21k\.s",
    ):
        find_weights(model)
    cached = in_hub_cache(tmp_path, "timm/vit_base_patch16_224.orig_in21k", "model.safetensors")
    assert find_weights(model) == cached
    (tmp_path / "weights").mkdir()
    monkeypatch.setenv(WEIGHTS_DIR_VARIABLE, str(tmp_path / "weights"))
    assert find_weights(model) == cached, "the folder holds nothing yet"
    published = tmp_path / "weights" / "ViT-B_16.npz"
    published.touch()
    assert find_weights(model) == published
    named = tmp_path / "mine.safetensors"
    named.touch()
    assert find_weights(ModelConfig(name="vit_b16_in21k", weights=str(named))) == named


@pytest.mark.parametrize("name", ["m.safetensors", "m.npz", "m.pth", "m.pt", "m.bin", "m"])
def test_a_weights_folder_is_searched_by_the_models_name_in_every_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(WEIGHTS_DIR_VARIABLE, str(tmp_path))
    (tmp_path / name).touch()
    assert find_weights(ModelConfig(name="m")) == tmp_path / name


def test_packaged_weights_are_found_and_scratch_needs_none() -> None:
    assert find_weights(ModelConfig(name="vit_nano")) == PACKAGED / "vit_nano.safetensors"
    assert find_weights(ModelConfig(name="vit_nano", pretrained=False)) is None


def test_a_named_file_must_exist() -> None:
    with pytest.raises(InputError, match=r"model\.weights = '/nowhere': there is no such file"):
        find_weights(ModelConfig(weights="/nowhere"))


def test_the_digest_is_sha256(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    assert weights_digest(path) == digest
    assert weights_digest(None) is None
    with pytest.raises(InputError, match=r"gone\.npz cannot be read: No such file"):
        weights_digest(tmp_path / "gone.npz")


def test_the_digest_of_a_folder_is_that_of_its_weights(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"content")
    assert weights_digest(tmp_path) == hashlib.sha256(b"content").hexdigest()


def test_every_pretrained_model_has_a_source_of_weights() -> None:
    for name, spec in MODELS.items():
        shipped = (PACKAGED / f"{name}.safetensors").exists()
        assert (hub_repo(name) is not None or shipped) is spec.pretrained
    assert hub_repo("vit_tiny_patch16_224") == "timm/vit_tiny_patch16_224"


def test_only_regular_files_are_read_as_weights(tmp_path: Path) -> None:
    """A pipe that nobody writes to, and a device that never ends."""
    pipe, device = tmp_path / "pipe.safetensors", tmp_path / "zero.npz"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        for look in (weights_digest, read_checkpoint):
            with pytest.raises(InputError, match=rf"^{path} is not a regular file$"):
                look(path)
