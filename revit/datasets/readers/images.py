"""Image files, decoded to (H, W, 3) uint8."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from revit.errors import InputError
from revit.paths import check_regular

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP")
"""The only formats that are opened, whatever the file name: PIL runs a program for others, such as EPS."""


class ImageFile(NamedTuple):
    """An image that is not decoded yet.

    Attributes:
        name: for errors.
        source: the file, or its content; None where a table has no content.
    """

    name: str
    source: Path | bytes | None

    def read(self) -> bytes:
        """Return the file's content.

        Raises:
            InputError: there is no content, it cannot be read, or it is not a regular file.
        """
        with _named_errors(self.name):
            if self.source is None:
                raise InputError(f"the image {self.name} has no bytes")
            if isinstance(self.source, bytes):
                return self.source
            check_regular(self.source)
            return self.source.read_bytes()


def decode_image(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8, rotated as its EXIF orientation says.

    Args:
        name: of the file, for errors.

    Raises:
        InputError: it cannot be decoded, or states more pixels than PIL's limit for decompression bombs.
    """
    from PIL import Image, ImageOps

    with _named_errors(name), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with open_image(BytesIO(content)) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)


def decoder() -> str:
    """Return the versions of the decoders: others may round the pixels of a JPEG differently."""
    import PIL
    from PIL import features

    return f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}"


def open_image(source: Path | BytesIO) -> "PilImage":
    """Open an image in one of FORMATS, without decoding its pixels.

    Raises:
        ValueError: it has another format.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(source, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise ValueError(f"its format is not one of {', '.join(FORMATS)}") from error


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Turn any error into an InputError: PIL's decoders raise errors of many types on damaged files."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"the image {name} cannot be decoded: {reason or type(error).__name__}") from error


def _to_rgb(image: "PilImage") -> npt.NDArray[np.uint8]:
    """Convert to RGB. Transparency is dropped, not blended: the colors below it stay."""
    if image.mode.startswith("I;16"):  # PIL would clip values above 255 to white
        gray = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(gray[..., np.newaxis], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"its gray levels (mode {image.mode}) have no white level to scale by")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # PIL warns when converting directly to RGB
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
