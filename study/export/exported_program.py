"""model.pt2: a trained model as a program of torch.export, from pixels to logits.

It loads with torch alone:

    extra = {"model.json": ""}
    program = torch.export.load("model.pt2", extra_files=extra)
    logits = program.module()(pixels)  # (B, 3, R, R) uint8 -> (B, K) float32; any B
    class_names = json.loads(extra["model.json"])["class_names"]
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from revit.errors import InputError, first_line
from revit.models.normalization import Normalization

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from study.trained_model import TrainedModel

PROGRAM = "model.pt2"
DESCRIPTION = "model.json"
"""Name of the JSON among the extra files of the program."""
INPUT, OUTPUT = "pixels", "logits"
"""Names of input and output, as far as a format has them."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """Description of a program, which is kept in its file.

    Attributes:
        class_names: name of each of the K classes.
        resolution: side R of its square images, in pixels.
        architecture: name of the network.
        identity: of the trial that trained it.
    """

    class_names: tuple[str, ...]
    resolution: int
    architecture: str
    identity: str

    def to_json(self) -> str:
        """Return the content of DESCRIPTION, with a line on input and output for whoever opens the file."""
        side = self.resolution
        return json.dumps(
            {
                **asdict(self),
                INPUT: f"(B, 3, {side}, {side}) uint8, red, green, blue; a gray image three times; normalized inside",
                OUTPUT: f"(B, {len(self.class_names)}) float32; their softmax has the probabilities",
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Description":
        """Return the description in a file. Raises ValueError, KeyError or TypeError if it is none."""
        found = json.loads(text)
        values = {name: found[name] for name in cls.__dataclass_fields__}
        return cls(**{**values, "class_names": tuple(values["class_names"])})


def describe_model(model: "TrainedModel") -> Description:
    """Return the description of a trained model."""
    return Description(
        class_names=model.class_names,
        resolution=model.resolution,
        architecture=model.config.model.name,
        identity=model.trial.identity,
    )


class PixelNetwork(nn.Module):
    """Network from pixels (B, 3, R, R) uint8 to logits (B, K): normalizes them, bit for bit as `to_input` does."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.network = network
        mean, std = (torch.tensor(each)[:, None, None] for each in normalization)
        self.register_buffer("scale", 255 * std)
        self.register_buffer("shift", mean / std)
        self.eval()

    def forward(self, pixels: Tensor) -> Any:
        """Return the logits of a batch."""
        return self.network(pixels.to(torch.float32) / self.scale - self.shift)


def export_program(model: "TrainedModel") -> "ExportedProgram":
    """Trace a trained model to a program that takes batches of any size.

    Raises:
        InputError: torch.export cannot trace it, as where a user's model branches on its input.
    """
    example = torch.zeros(2, 3, model.resolution, model.resolution, dtype=torch.uint8)  # 1 would be taken as fixed
    network = PixelNetwork(model.network, model.normalization)
    try:
        with torch.no_grad():
            return torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    except Exception as error:  # it raises errors of many types
        name = model.config.model.name
        raise InputError(f"{name} cannot be written as {PROGRAM}: torch.export: {first_line(error)}") from error


def write_program_file(model: "TrainedModel", folder: Path) -> str | None:
    """Write a trained model to its file in a folder. Return why not, where torch.export cannot trace it."""
    try:
        program = export_program(model)
    except InputError as error:
        return str(error)
    write_program(program, describe_model(model), folder / PROGRAM)
    return None


def write_program(program: "ExportedProgram", description: Description, path: Path) -> None:
    """Write a program with its description."""
    torch.export.save(program, path, extra_files={DESCRIPTION: description.to_json()})


@dataclass(frozen=True)
class LoadedProgram:
    """A program that can be called.

    Attributes:
        compute_logits: from pixels (B, 3, R, R) uint8 on the device to logits (B, K).
        device: device that it runs on.
    """

    compute_logits: nn.Module
    description: Description
    device: torch.device


def load_program(path: Path, device: torch.device) -> LoadedProgram:
    """Load a program that `write_program` wrote, for a device.

    Raises:
        InputError: there is no such file, or it is something else.
    """
    from torch.export.passes import move_to_device_pass

    if not path.is_file():
        raise InputError(f"{path.parent} is not an exported model: it has no {path.name}")
    extra: dict[str, Any] = {DESCRIPTION: ""}
    try:
        program = torch.export.load(path, extra_files=extra)
        description = Description.from_json(extra[DESCRIPTION])
    except Exception as error:  # it raises errors of many types on damaged files
        raise InputError(f"{path} cannot be loaded as an exported model: {first_line(error)}") from error
    if device.type != "cpu":
        program = move_to_device_pass(program, device)
    return LoadedProgram(program.module(), description, device)
