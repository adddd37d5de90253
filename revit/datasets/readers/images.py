"""Decoding one image, whatever its file holds, to (H, W, 3) uint8."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from revit.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage


def decode_image(path: Path) -> npt.NDArray[np.uint8]:
    """The image file as (H, W, 3) uint8, turned upright as its EXIF says.

    Raises:
        InputError: it cannot be decoded; names the path.
    """
    return _decode(path, str(path))


def decode_bytes(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """As `decode_image`, of a file's content; `name` is what an error calls it."""
    return _decode(BytesIO(content), name)


def _decode(source: Path | BytesIO, name: str) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageOps

    try:
        with Image.open(source) as image:
            return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # PIL's decoders of torn files raise whatever they stumble on
        reason = str(error).replace(str(source), "it") or type(error).__name__
        raise InputError(f"the image {name} cannot be decoded: {reason}") from error


def _to_rgb(image: "PilImage") -> npt.NDArray[np.uint8]:
    """Transparency is dropped, not blended: the colours that the file states below it stay."""
    if image.mode.startswith("I;16"):  # PIL would clip all above 255 to white
        gray = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(gray[..., np.newaxis], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"its gray levels (mode {image.mode}) have no white that they would be scaled by")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, PIL warns
    return np.asarray(image.convert("RGB"))
