"""model.onnx in ONNX Runtime against the network that a trial tests."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from revit.datasets.batches import to_input
from revit.errors import InputError
from study.export import onnx_file
from tests.study.export.untrained import CLASS_NAMES, random_pixels, untrained_model

MAX_DIFFERENCE = 1e-5
"""Largest difference of logits of about 1 (docs/export.md)."""


@pytest.mark.parametrize(
    ("network", "resolution"),
    [("vit_nano", 8), pytest.param("bit_nano", 16, marks=pytest.mark.long)]
    + [pytest.param(f"test_{name}.r160_in1k", 32, marks=pytest.mark.long) for name in ("vit", "resnet", "convnext")],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the translation's own code
def test_logits_are_those_of_the_network_in_batches_of_any_size(network: str, resolution: int, tmp_path: Path) -> None:
    import onnxruntime

    model = untrained_model(resolution, **{"model.name": network})
    onnx_file.write_onnx_file(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for num_images in (1, 2, 3, 17):
        pixels = random_pixels(model, num_images)
        [logits] = session.run(["logits"], {"pixels": pixels.numpy()})
        expected = model.network(to_input(pixels, model.normalization, torch.device("cpu"))).numpy()
        assert np.abs(logits - expected).max() < MAX_DIFFERENCE < expected.std()
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["class_names"]) == list(CLASS_NAMES)
    assert metadata["identity"] == "1234"


def test_missing_packages_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "PACKAGES", ("onnx", "no_such_package"))
    right = r"^--onnx: no_such_package not installed; get it with `pip install revit-study\[onnx\]`$"
    with pytest.raises(InputError, match=right):
        onnx_file.write_onnx_file(untrained_model(), tmp_path)
