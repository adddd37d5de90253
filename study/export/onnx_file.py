"""model.onnx: a trained model for ONNX Runtime, from pixels to logits. Needs the extra `onnx`."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from revit.errors import InputError, first_line
from study.export.exported_program import INPUT, OUTPUT, describe_model, export_program

if TYPE_CHECKING:
    from study.trained_model import TrainedModel

ONNX = "model.onnx"
PACKAGES = ("onnx", "onnxscript")


def check_onnx() -> None:
    """Raise InputError unless the packages of the extra `onnx` are installed."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise InputError(f"--onnx: {' and '.join(missing)} not installed; get it with `pip install revit-study[onnx]`")


def write_onnx_file(model: "TrainedModel", folder: Path) -> None:
    """Write a trained model to its file in a folder, with its description as metadata.

    Raises:
        InputError: packages are missing, or a part of the model cannot be translated to ONNX.
    """
    check_onnx()
    program, description = export_program(model), describe_model(model)
    try:
        translated = torch.onnx.export(
            program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], external_data=False, verbose=False
        )
    except Exception as error:  # it raises errors of many types
        reason = first_line(error)
        raise InputError(f"{description.architecture} cannot be written as {ONNX}: {reason}") from error
    assert translated is not None, "it returns a program where dynamo is True"
    facts = json.loads(description.to_json())
    for name, value in facts.items():
        translated.model.metadata_props[name] = value if isinstance(value, str) else json.dumps(value)
    translated.save(folder / ONNX)
