"""MATLAB's files against scipy, which writes them."""

import io

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from revit.datasets.readers.matlab import whole_numbers

ARRAYS = {
    "labels": np.arange(1, 103, dtype=np.uint8)[np.newaxis],
    "trnid": np.array([[6765, 6755, 1]], np.uint16),
    "one": np.array([[7]], np.int8),
    "grid": np.arange(6, dtype=np.int32).reshape(2, 3),
    "large": np.array([[2**40, -1]], np.int64),
    "a_name_that_is_longer_than_a_few_bytes": np.array([[1, 2]], np.uint32),
}
CELL = np.array([[1], "a"], dtype=object)
OTHERS = {"text": "roses", "share": np.array([[0.5]]), "cell": CELL, "z": np.array([[1j]])}


@pytest.mark.parametrize("compressed", [False, True])
def test_whole_numbers_are_what_scipy_reads_and_the_rest_is_left_out(compressed: bool) -> None:
    file = io.BytesIO()
    savemat(file, ARRAYS | OTHERS, do_compression=compressed)
    oracle = loadmat(file)
    found = whole_numbers(file.getvalue())
    assert found.keys() == ARRAYS.keys()
    for name, values in found.items():
        assert values.tolist() == oracle[name].ravel(order="F").tolist()


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0", bytes(128), b" " * 126 + b"IM" + b"\x0e\0\0\0\xff\0\0\0"])
def test_what_is_none_of_matlabs_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"begin|ends early"):
        whole_numbers(content)
