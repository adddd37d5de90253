"""Pretraining of the shipped models."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from revit.config import FineTuneConfig
from revit.models.weights import PACKAGED
from revit.training import pretrain as module
from revit.training.pretrain import PRETRAINING, main, model_card, pretrain


@pytest.mark.parametrize("name", PRETRAINING)
def test_the_shipped_card_states_the_values_of_the_config(name: str) -> None:
    card = dict(re.findall(r"^\| `(.+)` \| (.+) \|$", (PACKAGED / f"{name}.md").read_text(), flags=re.MULTILINE))
    values = {path: str(value) for path, value in PRETRAINING[name].flat().items()}
    assert len(card) > 20
    assert card.items() <= values.items()


def test_the_card_of_a_run_on_a_gpu_states_its_command_with_gpu_and_precision(
    small: FineTuneConfig, train: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, _ = train(small)
    monkeypatch.setattr(module, "device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(module, "has_bf16", lambda device: True)
    card = model_card(small, result, torch.device("cuda"))
    assert (
        f"`python -m revit.training.pretrain vit_nano --device cuda` (torch {torch.__version__}, NVIDIA H200, bf16)"
        in card
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vit_nano", "--device", "cuda"]) == 2
    assert capsys.readouterr().err == "error: device = cuda: PyTorch finds no GPU on this machine; take cpu\n"


def test_an_interrupted_run_resumes_to_the_same_weights(
    small: FineTuneConfig, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small.with_values({"model.pretrained": False, "steps": 12, "num_evals": 3})
    whole = pretrain(config, data_dir=tmp_path, cache_dir=cache_dir, checkpoint=tmp_path / "whole.pt")
    card = model_card(config, whole)
    assert f"{whole.metrics['test_accuracy']:.2%}" in card
    assert "| `schedule.name` | cosine |" in card

    class Interrupted(module.TrainState):
        def save(self, path: Path) -> None:
            super().save(path)
            raise KeyboardInterrupt

    monkeypatch.setattr("revit.training.fine_tune.TrainState", Interrupted)
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        pretrain(config, data_dir=tmp_path, cache_dir=cache_dir, checkpoint=checkpoint)
    monkeypatch.undo()
    resumed = pretrain(config, data_dir=tmp_path, cache_dir=cache_dir, checkpoint=checkpoint)
    assert (resumed.predictions.confidence == whole.predictions.confidence).all()


def test_an_unwritable_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["vit_nano", "--cache-dir", str(tmp_path / "file" / "cache")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "cannot be written" in line
