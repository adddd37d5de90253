"""Pretraining of the shipped models."""

import re
from pathlib import Path

import pytest

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
