"""Recorded predictions of a trial, reproduced from its exported folder by four libraries, image by image."""

from pathlib import Path

import mlflow
import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from transformers import AutoImageProcessor, AutoModelForImageClassification

from revit.datasets.image_store import ImageStore
from revit.datasets.readers.images import decode_image
from revit.training.prediction_file import read_columns
from study.export.exported_program import write_program_file
from study.export.registered_model import register_model
from study.export.timm_model import write_timm_files
from study.layout import PREDICTIONS
from study.ledger.ledger import Ledger
from study.trained_model import load_trained_model
from tests.study.trained_study import TrainedKinds

MAX_DIFFERENCE = 2e-3
"""Largest difference of logits: recorded ones are rounded to float16; by timm's resizing, pixels may differ by 1."""


def by_transformers(folder: Path, files: list[Path], _: Ledger) -> torch.Tensor:
    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    return model(**processor([Image.open(file) for file in files], return_tensors="pt")).logits


def by_timm(folder: Path, files: list[Path], _: Ledger) -> torch.Tensor:
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = create_transform(**resolve_model_data_config(model))
    return model(torch.stack([transform(Image.open(file).convert("RGB")) for file in files]))


def by_torch(folder: Path, files: list[Path], _: Ledger) -> torch.Tensor:
    return torch.export.load(folder / "model.pt2").module()(resized(files))


def by_mlflow(folder: Path, files: list[Path], ledger: Ledger) -> torch.Tensor:
    mlflow.set_tracking_uri(ledger.uri)
    try:
        return torch.from_numpy(mlflow.pyfunc.load_model("models:/mine/1").predict(resized(files).numpy()))
    finally:
        mlflow.set_tracking_uri(None)


def resized(files: list[Path]) -> torch.Tensor:
    """Return the pixels of files as a user of torch resizes them, (B, 3, 16, 16) uint8."""
    from torchvision.transforms.v2.functional import pil_to_tensor, resize

    return torch.stack([resize(pil_to_tensor(Image.open(file).convert("RGB")), [16, 16]) for file in files])


LOADERS = (by_transformers, by_timm, by_torch, by_mlflow)


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
    for load in LOADERS:
        with torch.inference_mode():
            logits = load(folder, files, ledger)
        assert (logits.argmax(dim=1).numpy() == recorded["prediction"]).all(), load
        difference = np.abs(logits.numpy() - recorded["logits"]).max()
        assert difference < MAX_DIFFERENCE, (load, difference)
