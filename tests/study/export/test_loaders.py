"""Recorded predictions of a trial, reproduced by four libraries with the lines of docs/export.md, image by image."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor, resize

from revit.datasets.image_store import ImageStore
from revit.datasets.readers.images import decode_image
from revit.training.prediction_file import read_columns
from study.export.exported_program import write_program_file
from study.export.registered_model import register_model
from study.export.timm_model import write_timm_files
from study.layout import PREDICTIONS
from study.trained_model import load_trained_model
from tests.command_line import ROOT
from tests.study.trained_study import TrainedKinds

MAX_DIFFERENCE = 2e-3
"""Largest difference of logits: recorded ones are rounded to float16; by timm's resizing, pixels may differ by 1."""


@pytest.fixture(autouse=True)
def own_address() -> Iterator[None]:
    """Name no store to MLflow after a test."""
    yield
    mlflow.set_tracking_uri(None)


def lines_of_docs(library: str, changes: Mapping[str, str]) -> dict[str, Any]:
    """Run the Python lines of a section of docs/export.md; return what they define.

    Args:
        changes: texts by those that the page has in their place.
    """
    section = (ROOT / "docs" / "export.md").read_text().partition(f"## Load it with {library}\n")[2]
    [lines] = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], flags=re.DOTALL)
    for text, change in changes.items():
        lines = lines.replace(text, change)
    names: dict[str, Any] = {"pixels": torch.zeros(1, 3, 16, 16, dtype=torch.uint8)}
    exec(lines, names)
    return names


def by_transformers(names: Mapping[str, Any], files: list[Path]) -> torch.Tensor:
    processor, model = names["processor"], names["model"]
    return model(**processor([Image.open(file) for file in files], return_tensors="pt")).logits


def by_timm(names: Mapping[str, Any], files: list[Path]) -> torch.Tensor:
    model, transform = names["model"], names["transform"]
    return model(torch.stack([transform(Image.open(file).convert("RGB")) for file in files]))


def by_torch(names: Mapping[str, Any], files: list[Path]) -> torch.Tensor:
    return names["program"](resized(files))


def by_mlflow(names: Mapping[str, Any], files: list[Path]) -> torch.Tensor:
    return torch.from_numpy(names["model"].predict(resized(files).numpy()))


def resized(files: list[Path]) -> torch.Tensor:
    """Return the pixels of files as a user of torch resizes them, (B, 3, 16, 16) uint8."""
    return torch.stack([resize(pil_to_tensor(Image.open(file).convert("RGB")), [16, 16]) for file in files])


LOADERS = {"transformers": by_transformers, "timm": by_timm, "torch alone": by_torch, "MLflow": by_mlflow}


def test_four_libraries_reproduce_the_recorded_predictions(trained_kinds: TrainedKinds, tmp_path: Path) -> None:
    trial, ledger = trained_kinds.trials["ViT"], trained_kinds.ledger
    model = load_trained_model(trial, ledger)
    store = ImageStore(trial.images)
    test = np.flatnonzero(store.is_test)
    folder, files = tmp_path / "model", [tmp_path / f"{index}.png" for index in test]
    for file, index in zip(files, test.tolist(), strict=True):
        Image.fromarray(store.image(index).squeeze()).save(file)
        assert (decode_image(file.read_bytes(), file.name) == store.image(index)).all()
    folder.mkdir()
    write_timm_files(model, folder)
    assert write_program_file(model, folder) is None
    assert register_model(model, ledger, "mine") == "registered as version 1 of mine: models:/mine/1"
    assert register_model(model, ledger, "mine") == "registered before as version 1 of mine: models:/mine/1"
    recorded = read_columns(ledger.artifacts.path(trial.record.run_id, PREDICTIONS), ("index", "prediction", "logits"))
    assert (recorded["index"] == test).all()
    assert len(set(recorded["prediction"].tolist())) >= 5, "the test needs different answers"
    changes = {"/tmp/sgd_cosine": str(folder), "digit.png": str(files[0]), "[28, 28]": "[16, 16]"}
    changes |= {"models:/digits/1": "models:/mine/1", "sqlite:///mlruns/mlflow.db": ledger.uri}
    for library, load in LOADERS.items():
        with torch.inference_mode():
            names = lines_of_docs(library, changes)
            logits = load(names, files)
        assert (logits.argmax(dim=1).numpy() == recorded["prediction"]).all(), library
        difference = np.abs(logits.numpy() - recorded["logits"]).max()
        assert difference < MAX_DIFFERENCE, (library, difference)
        assert library == "MLflow" or names["logits"].argmax() == recorded["prediction"][0], library
