"""File of what figures show of a trained vision transformer. Imports no torch, so that a report can read it."""

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from revit.errors import InputError


class Internals(NamedTuple):
    """Arrays inside a vision transformer (`revit.models.introspection.inspect_model`).

    G x G patches of P x P pixels; D filters; L layers, H heads.

    Attributes:
        filters: of the patch embedding as RGB images, (D, P, P, 3) uint8.
        similarity: of the position embeddings of every two patches, (G, G, G, G) float16, -1..1; None without them.
        attention: of the class token to each patch of one image, (L, H, G, G) float16, 0..1; None where the model has
            no class token, or its attention no maps.
    """

    filters: npt.NDArray[np.uint8]
    similarity: npt.NDArray[np.float16] | None
    attention: npt.NDArray[np.float16] | None


def write_internals(path: Path, internals: Internals) -> None:
    """Write the arrays to a file of NumPy's format npz."""
    arrays = {name: array for name, array in internals._asdict().items() if array is not None}
    with path.open("wb") as file:
        np.savez(file, **arrays)


def read_internals(path: Path) -> Internals:
    """Return the arrays of a file. Raises InputError if it is damaged."""
    try:
        with np.load(path) as arrays:
            return Internals(arrays["filters"], arrays.get("similarity"), arrays.get("attention"))
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}): without it, figures are made from the weights") from error
