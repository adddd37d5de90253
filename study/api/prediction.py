"""Predictions of exported models on image files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from revit.paths import expand_path

if TYPE_CHECKING:
    from study.export.exported_program import LoadedProgram
    from study.export.image_predictions import FilePrediction


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Return the images that files and folders name, each once; raise InputError where there is none."""
    from study.export import image_predictions

    return image_predictions.find_images(paths)


def load_exported(folder: Path, device: str | None = None) -> "LoadedProgram":
    """Load the model of a folder that `export` wrote. Needs the file model.pt2 of it alone.

    Args:
        device: cpu or cuda; None for a GPU where there is one.

    Raises:
        InputError: there is no exported model, or no such device.
    """
    from revit.training.device import find_device
    from study.export.exported_program import PROGRAM, load_program

    return load_program(expand_path(folder) / PROGRAM, find_device(device))


def predict_files(program: "LoadedProgram", files: Sequence[Path]) -> "Iterator[FilePrediction]":
    """Predict image files in order. A file that cannot be decoded has its problem instead of a class."""
    import torch

    from study.export import image_predictions

    return image_predictions.predict_files(program, files, torch.get_num_threads())
