"""Predictions of an exported model on image files."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from revit.datasets.crops import resize_images
from revit.datasets.readers.image_folders import IMAGE_SUFFIXES, images_below
from revit.datasets.readers.images import ImageFile, decode_image
from revit.errors import InputError

if TYPE_CHECKING:
    from study.export.exported_program import LoadedProgram

BATCH_SIZE = 64
"""Images that are predicted at once."""


@dataclass(frozen=True)
class FilePrediction:
    """Prediction of an image file.

    Attributes:
        probability: of the class, 0 to 1.
        problem: why the file cannot be decoded; its class is empty then.
    """

    file: Path
    class_name: str = ""
    probability: float = float("nan")
    problem: str = ""


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Return the images that files and folders name, each once: those of a folder and below it, sorted.

    A file is taken whatever its name.

    Raises:
        InputError: a path does not exist, cannot be read, or is a folder without images.
    """
    found: list[Path] = []
    for path in paths:
        try:
            found += _images_of(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return list(dict.fromkeys(found))


def _images_of(path: Path) -> list[Path]:
    if not path.is_dir():
        if not path.exists():
            raise InputError(f"{path}: there is no such file or folder")
        return [path]
    images = images_below(path)
    if not images:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{path} has no images: must have files {suffixes} whose names do not begin with a dot")
    return images


def predict_files(program: "LoadedProgram", files: Sequence[Path], num_threads: int) -> Iterator[FilePrediction]:
    """Predict image files in order, prepared as a trial prepares its test images.

    Args:
        num_threads: that decode and resize.
    """
    names, resolution = program.description.class_names, program.description.resolution
    with ThreadPoolExecutor(num_threads) as threads, torch.inference_mode():
        for start in range(0, len(files), BATCH_SIZE):
            part = files[start : start + BATCH_SIZE]
            prepared = list(threads.map(lambda file: _prepare(file, resolution), part))
            decoded = [each for each in prepared if isinstance(each, Tensor)]
            best = iter(_most_probable(program, torch.cat(decoded)) if decoded else ())
            for file, each in zip(part, prepared, strict=True):
                if isinstance(each, Tensor):
                    probability, label = next(best)
                    yield FilePrediction(file, names[label], probability)
                else:
                    yield FilePrediction(file, problem=each)


def _most_probable(program: "LoadedProgram", pixels: Tensor) -> list[tuple[float, int]]:
    """Return the probability and the label of the most probable class of each image (B, 3, R, R)."""
    logits = program.compute_logits(pixels.to(program.device))
    probability, label = logits.softmax(dim=1).max(dim=1)
    return list(zip(probability.tolist(), label.tolist(), strict=True))


def _prepare(file: Path, resolution: int) -> Tensor | str:
    """Return the pixels of a file (1, 3, R, R) uint8, or why it cannot be decoded."""
    try:
        image = decode_image(ImageFile(str(file), file).read(), str(file))
    except InputError as error:
        return str(error)
    return resize_images([image], np.array([image.shape[:2]]), resolution)
