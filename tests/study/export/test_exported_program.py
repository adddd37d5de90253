"""model.pt2 against the network that a trial tests, and against torch alone."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from revit.datasets.batches import to_input
from revit.errors import InputError
from study.export.exported_program import describe_model, export_program, load_program, write_program
from study.trained_model import TrainedModel
from tests.study.export.untrained import CLASS_NAMES, random_pixels, untrained_model

CPU = torch.device("cpu")
NETWORKS = {
    "ViT": untrained_model,
    "BiT": lambda: untrained_model(16, **{"model.name": "bit_nano"}),
    "ViT of timm": lambda: untrained_model(32, **{"model.name": "test_vit.r160_in1k"}),
    "ResNet": lambda: untrained_model(32, **{"model.name": "test_resnet.r160_in1k", "normalization": "cifar10"}),
    "ViT at 28 px": lambda: untrained_model(28),
    "ConvNeXt": lambda: untrained_model(32, **{"model.name": "test_convnext.r160_in1k"}),
}


@functools.cache
def traced(name: str) -> tuple[TrainedModel, torch.export.ExportedProgram]:
    """Return a network with its program: tracing one takes seconds."""
    model = NETWORKS[name]()
    return model, export_program(model)


IN_SUITE = {"ViT", "BiT"}
"""`-m long` traces all networks."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in IN_SUITE else [pytest.mark.long]) for name in NETWORKS]
)
def test_logits_are_those_of_the_network_bit_by_bit_in_batches_of_any_size(name: str, tmp_path: Path) -> None:
    model, exported = traced(name)
    write_program(exported, describe_model(model), tmp_path / "model.pt2")
    program = load_program(tmp_path / "model.pt2", CPU)
    for num_images in (1, 2, 3, 17):
        pixels = random_pixels(model, num_images)
        with torch.inference_mode():
            expected = model.network(to_input(pixels, model.normalization, CPU))
            assert torch.equal(program.compute_logits(pixels), expected)
        assert expected.unique().numel() == 3 * num_images, "the test needs different answers"


LOAD = """
import json, sys, torch
extra = {"model.json": ""}
program = torch.export.load(sys.argv[1], extra_files=extra)
logits = program.module()(torch.load(sys.argv[2]))
torch.save((logits, json.loads(extra["model.json"])), sys.argv[3])
assert not {"timm", "revit", "study"} & sys.modules.keys()
"""


def test_it_loads_with_torch_alone(tmp_path: Path) -> None:
    model, program = traced("ViT")
    pixels = random_pixels(model, 5)
    files = [tmp_path / name for name in ("model.pt2", "pixels.pt", "answer.pt")]
    write_program(program, describe_model(model), files[0])
    torch.save(pixels, files[1])
    subprocess.run([sys.executable, "-I", "-c", LOAD, *map(str, files)], check=True, cwd=tmp_path)
    logits, description = torch.load(files[2])
    assert torch.equal(logits, model.network(to_input(pixels, model.normalization, CPU)))
    assert description["class_names"] == list(CLASS_NAMES)
    assert (description["resolution"], description["identity"]) == (8, "1234")
    assert description["pixels"].startswith("(B, 3, 8, 8) uint8")


def test_a_network_that_cannot_be_traced_is_one_line() -> None:
    class Branching(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images if images.sum() > 0 else -images

    model = untrained_model()
    object.__setattr__(model, "network", Branching())
    with pytest.raises(InputError, match=r"^vit_nano cannot be written as model\.pt2: torch\.export: [^\n]+$"):
        export_program(model)


def test_what_is_no_exported_model_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "model.pt2"
    with pytest.raises(InputError, match=f"^{tmp_path} is not an exported model: it has no model.pt2$"):
        load_program(file, CPU)
    file.write_bytes(b"something else")
    with pytest.raises(InputError, match=f"^{file} cannot be loaded as an exported model: [^\n]+$"):
        load_program(file, CPU)
    torch.export.save(traced("ViT")[1], file, extra_files={"model.json": json.dumps({"a": 1})})
    with pytest.raises(InputError, match=f"^{file} cannot be loaded as an exported model: 'class_names'$"):
        load_program(file, CPU)
