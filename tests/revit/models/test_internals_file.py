from pathlib import Path

import numpy as np
import pytest

from revit.errors import InputError
from revit.models.internals_file import Internals, read_internals, write_internals

DRAW = np.random.default_rng(0)
FILTERS = DRAW.integers(0, 256, (64, 4, 4, 3), np.uint8)
SIMILARITY, ATTENTION = (DRAW.random(shape).astype(np.float16) for shape in ((7, 7, 7, 7), (4, 3, 7, 7)))


@pytest.mark.parametrize(
    "internals",
    [Internals(FILTERS, SIMILARITY, ATTENTION), Internals(FILTERS, None, ATTENTION), Internals(FILTERS, None, None)],
)
def test_a_file_keeps_every_bit(internals: Internals, tmp_path: Path) -> None:
    write_internals(tmp_path / "internals.npz", internals)
    for name, array in read_internals(tmp_path / "internals.npz")._asdict().items():
        written = getattr(internals, name)
        assert (array is None) == (written is None), name
        if array is not None:
            assert array.dtype == written.dtype
            np.testing.assert_array_equal(array, written)


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "internals.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"internals.npz is damaged .*figures are made from the weights"):
        read_internals(path)
