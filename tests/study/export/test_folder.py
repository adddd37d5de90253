"""The folder of an export: written whole or not at all."""

import json
from pathlib import Path

import pytest

from revit.config import from_dict
from revit.errors import InputError
from study.export.card import Card
from study.export.folder import WRITERS, check_target, write_export
from study.export.timm_model import write_timm_files
from study.plan import Folders
from study.trained_model import TrainedModel
from tests.study.export.test_card import card_of


@pytest.fixture
def card(folders: Folders) -> Card:
    return card_of(folders)


def write_one(model: TrainedModel, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"weights")


def write_too_much(model: TrainedModel, folder: Path) -> None:
    with (folder / "model.safetensors").open("wb") as file:
        file.write(bytes(32_000_000))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_record_names_the_trial(card: Card, tmp_path: Path) -> None:
    write_export(card, tmp_path / "new" / "model", [write_one])
    record = json.loads((tmp_path / "new" / "model" / "export.json").read_text())
    trial = card.model.trial
    assert (record["identity"], record["study"], record["seed"]) == (trial.identity, "example", 0)
    assert record["cell"] == {"optimizer.lr": 0.1}
    assert record["metrics"]["test_accuracy"] == 0.8
    assert from_dict(record["config"]) == trial.candidate.config


def test_an_export_is_replaced_whole(card: Card, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_export(card, folder, [write_one])
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").touch()
    write_export(card, folder, [write_one])
    assert names_in(folder) == ["README.md", "export.json", "model.safetensors"]
    assert names_in(tmp_path) == ["model"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), InputError("something is wrong")])
def test_an_export_that_fails_leaves_the_earlier_one(error: Exception, card: Card, tmp_path: Path) -> None:
    def fail(model: TrainedModel, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise error

    folder = tmp_path / "model"
    write_export(card, folder, [write_one])
    with pytest.raises(InputError, match=r"cannot be written: No space left on device|something is wrong"):
        write_export(card, folder, [fail])
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    with pytest.raises(InputError):
        write_export(card, tmp_path / "other", [fail])
    assert names_in(tmp_path) == ["model"], "nothing half-written stays"


@pytest.mark.parametrize(
    ("error", "message"),
    [(PermissionError(13, "Permission denied"), "model: cannot be written: Permission denied"),
     (KeyboardInterrupt("stopped"), "stopped")],
)  # fmt: skip
def test_the_earlier_one_comes_back_where_the_new_one_cannot_take_its_place(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, message: str
) -> None:
    folder = tmp_path / "model"
    write_export(card, folder, [write_one])
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if ".new-" in path.name:
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises((InputError, KeyboardInterrupt), match=message):
        write_export(card, folder, [write_one])
    assert names_in(folder) == ["README.md", "export.json", "model.safetensors"]
    assert names_in(tmp_path) == ["model"]


def test_a_folder_of_something_else_is_refused(card: Card, tmp_path: Path) -> None:
    other = tmp_path / "photos"
    other.mkdir()
    check_target(other)
    (other / "cat.png").touch()
    with pytest.raises(InputError, match=r"photos: must be a new folder, or an earlier export: it has no export\.json"):
        write_export(card, other)
    with pytest.raises(InputError, match=r"cat\.png: must be a folder, and is a file"):
        write_export(card, other / "cat.png")
    assert names_in(other) == ["cat.png"]


def test_a_folder_that_cannot_be_written_is_one_line(card: Card) -> None:
    with pytest.raises(InputError, match="--to = /proc/self/model: cannot be written: "):
        write_export(card, Path("/proc/self/model"), [write_one])


@pytest.mark.parametrize("writers", [[write_too_much], []], ids=["files of Python", "safetensors"])
def test_a_full_disk_is_one_line(writers: list[object], card: Card, small_disk: Path) -> None:
    """safetensors maps its file: a full disk is an error of its own."""
    import torch
    from safetensors.torch import save_file

    def write_tensors(model: TrainedModel, folder: Path) -> None:
        save_file({"weight": torch.zeros(8_000_000)}, folder / "model.safetensors")

    with pytest.raises(InputError, match=r"cannot be written: .*[Nn]o space left"):
        write_export(card, small_disk / "model", writers or [write_tensors])
    assert names_in(small_disk) == []


def test_every_export_has_what_timm_and_transformers_read() -> None:
    assert write_timm_files in WRITERS
