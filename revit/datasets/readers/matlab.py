"""Whole numbers out of MATLAB's files of version 5, as `save` and scipy write them.

Few lines of Python, as a damaged file can bring scipy's own reader to end the whole process.
"""

import math
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from revit.datasets.readers.archives import MOST_BYTES

HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
STORED_AS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 12: "i8", 13: "u8"}
"""Types of whole numbers. MATLAB's doubles are stored as the narrowest that holds them."""
NUMERIC_CLASSES = range(6, 16)


class Element(NamedTuple):
    """A piece of a file: what it is, and its bytes."""

    kind: int
    data: bytes


def whole_numbers(content: bytes) -> dict[str, npt.NDArray[np.int64]]:
    """Every variable of a file that is an array of whole numbers, flat, by its name.

    Raises:
        ValueError, zlib.error: the file is torn, or none of MATLAB's.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER_BYTES - 2 : HEADER_BYTES])
    if order is None:
        raise ValueError("it does not begin as one does")
    arrays = (_array(element, order) for element in _elements(content[HEADER_BYTES:], order))
    return dict(array for array in arrays if array is not None)


def _array(element: Element, order: str) -> tuple[str, npt.NDArray[np.int64]] | None:
    """The name and the values of an array of whole numbers; None for anything else."""
    if element.kind == COMPRESSED:
        [element] = _elements(zlib.decompressobj().decompress(element.data, MOST_BYTES), order)
    if element.kind != MATRIX:
        return None
    flags, dimensions, name, *parts = _elements(element.data, order)
    its_class = _numbers(flags, order)[0] & 255 if len(flags.data) else 0
    if its_class not in NUMERIC_CLASSES or len(parts) != 1 or parts[0].kind not in STORED_AS:
        return None
    values = _numbers(parts[0], order)
    if len(values) != math.prod(_numbers(dimensions, order).tolist()):
        raise ValueError("an array has more or fewer values than it says")
    return name.data.decode("latin1"), values


def _elements(data: bytes, order: str) -> Iterator[Element]:
    """The pieces, one after the other, each filled up to 8 bytes but for compressed ones."""
    start = 0
    while start < len(data):
        first, length = np.frombuffer(data, f"{order}u4", count=2, offset=start).tolist()
        begin = start + 8
        if first >> 16:  # a small one: its length is in the upper half, its bytes follow at once
            first, length, begin = first & 0xFFFF, first >> 16, start + 4
        if begin + length > len(data):
            raise ValueError("it ends early")
        yield Element(first, data[begin : begin + length])
        start = begin + length
        if first != COMPRESSED:
            start += -start % 8


def _numbers(element: Element, order: str) -> npt.NDArray[np.int64]:
    if element.kind not in STORED_AS:
        raise ValueError("numbers were expected")
    return np.frombuffer(element.data, order + STORED_AS[element.kind]).astype(np.int64)
