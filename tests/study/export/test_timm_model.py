"""The exported folder against timm and transformers, which load it without code of this project."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_model_data_config
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline
from transformers.utils import logging

from revit.datasets.batches import eval_batches, to_input
from revit.datasets.crops import resize_images
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from study.export.timm_model import check_loads, loads_in_timm, write_timm_files
from study.trained_model import TrainedModel, load_trained_model
from tests.study.trained_study import CPU, TrainedKinds

WITH_TIMM = ["ViT", "LoRA", "no position embedding", "no projection", "CNN of timm", "ViT of timm"]
WITHOUT_TIMM = ["BiT", "function"]
SIZES = [(8, 8, 28), (28, 28, 28), (32, 32, 48), (33, 57, 28), (300, 500, 224)]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


def export(kind: str, kinds: TrainedKinds, folder: Path) -> TrainedModel:
    model = load_trained_model(kinds.trials[kind], kinds.ledger)
    write_timm_files(model, folder)
    return model


def pictures_of(model: TrainedModel) -> list[Image.Image]:
    """Return the test images, gray as they are."""
    store = ImageStore(model.trial.images)
    return [Image.fromarray(store.image(index).squeeze()) for index in np.flatnonzero(store.is_test).tolist()]


def input_of(model: TrainedModel) -> Tensor:
    """Return the test images as the trial tested them."""
    store = ImageStore(model.trial.images)
    [batch] = eval_batches(store, np.flatnonzero(store.is_test), model.resolution, 1000)
    return to_input(batch.images, model.normalization, CPU)


@pytest.mark.parametrize("kind", WITH_TIMM)
def test_timm_and_transformers_load_the_same_network(kind: str, trained_kinds: TrainedKinds, tmp_path: Path) -> None:
    """Logits of all test images, bit by bit; and from the images themselves, each library with its preprocessing."""
    model = export(kind, trained_kinds, tmp_path)
    assert loads_in_timm(model)
    of_timm = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    of_transformers = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    images, pictures = input_of(model), pictures_of(model)
    with torch.inference_mode():
        expected = model.network(images)
        assert torch.equal(of_timm(images), expected)
        assert torch.equal(of_transformers(images).logits, expected)
        processed = AutoImageProcessor.from_pretrained(tmp_path)(pictures, return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(processed, images, atol=1e-6, rtol=0)
        transform = create_transform(**resolve_model_data_config(of_timm))
        by_timm = torch.stack([transform(each.convert("RGB")) for each in pictures])
        for logits in (of_transformers(processed).logits, of_timm(by_timm)):
            assert (logits.argmax(dim=1) == expected.argmax(dim=1)).all()
    assert of_timm.pretrained_cfg["label_names"] == [*"0123456789"]
    assert of_transformers.config.id2label == dict(enumerate("0123456789"))


def test_the_pipeline_of_transformers_names_the_class(trained_kinds: TrainedKinds, tmp_path: Path) -> None:
    model = export("ViT", trained_kinds, tmp_path)
    with torch.inference_mode():
        probabilities = model.network(input_of(model)[:3]).softmax(dim=1)
    answers = pipeline("image-classification", model=str(tmp_path))(pictures_of(model)[:3])
    for (first, *_), expected in zip(answers, probabilities, strict=True):
        assert first["label"] == model.class_names[int(expected.argmax())]
        assert first["score"] == pytest.approx(float(expected.max()), abs=1e-6)


@pytest.mark.parametrize("kind", WITHOUT_TIMM)
def test_a_network_that_timm_does_not_have_is_refused_by_both(
    kind: str, trained_kinds: TrainedKinds, tmp_path: Path
) -> None:
    """Neither loads another architecture in its place."""
    model = export(kind, trained_kinds, tmp_path)
    assert not loads_in_timm(model)
    with pytest.raises(KeyError, match="architecture"):
        timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    with pytest.raises(ValueError, match="Unrecognized model"):
        AutoModelForImageClassification.from_pretrained(tmp_path)
    own = model.network.state_dict()
    assert all(torch.equal(own[name], each) for name, each in load_file(tmp_path / "model.safetensors").items())


def test_the_weights_of_another_model_are_not_named_as_the_source(trained_kinds: TrainedKinds, tmp_path: Path) -> None:
    """The nano ViT is built as timm's tiny ViT with other sizes: nothing of that one's weights is said of it."""
    export("ViT", trained_kinds, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert not {"tag", "license", "url", "hf_hub_id", "origin_url"} & config["pretrained_cfg"].keys()
    assert config["pretrained_cfg"]["crop_mode"] == "squash"


def test_a_folder_from_which_timm_loads_something_else_is_refused(trained_kinds: TrainedKinds, tmp_path: Path) -> None:
    model = export("ViT", trained_kinds, tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["head.bias"][0] += 1
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=f"trial {model.trial.identity}: timm computes something else"):
        check_loads(model, tmp_path)


@pytest.mark.parametrize(("height", "width", "side"), SIZES)
def test_the_pixels_of_transformers_are_ours_and_those_of_timm_within_one(
    height: int, width: int, side: int, trained_kinds: TrainedKinds, tmp_path: Path
) -> None:
    """Noise, the hardest image to resize. timm resizes by PIL, which rounds differently than torchvision."""
    export("ViT", trained_kinds, tmp_path)
    images = [np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8) for seed in range(4)]
    ours = resize_images(images, np.array([(height, width)] * 4), side).float()
    pictures = [Image.fromarray(image) for image in images]
    processor = AutoImageProcessor.from_pretrained(tmp_path, size={"height": side, "width": side})
    theirs = processor(pictures, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(theirs * 127.5 + 127.5, ours, atol=1e-4, rtol=0)
    config = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    chosen = {name: config[name] for name in ("interpolation", "crop_pct", "crop_mode", "mean", "std")}
    transform = create_transform(**chosen, input_size=(3, side, side))
    by_timm = torch.stack([transform(each) for each in pictures]) * 127.5 + 127.5
    assert (by_timm - ours).abs().max() < 1.01
