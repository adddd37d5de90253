"""File of a trial's predictions: a row per image. Imports no torch, so that a report can read it."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from revit.errors import InputError
from revit.training.metrics import Predictions

SPLIT, LOGITS, CLASSES = "split", "logits", "classes"
"""Columns beside those of `Predictions`: "test" or "val"; k logits; their k classes, where there are more classes."""
MAX_LOGITS = 100
"""Logits that are kept of an image."""


class Evaluation(NamedTuple):
    """Predictions on a split, and the logits that they come from.

    Attributes:
        logits: (n, k) float16, by class; of more than MAX_LOGITS classes the largest, in decreasing order.
        classes: class of each logit, (n, k) int32; None where every class has its logit.
    """

    predictions: Predictions
    logits: npt.NDArray[np.float16]
    classes: npt.NDArray[np.int32] | None


def write_predictions(path: Path, evaluations: Mapping[str, Evaluation]) -> None:
    """Write the evaluations of the splits to a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.concat_tables([pa.table(_columns(split, each)) for split, each in evaluations.items()])
    parquet.write_table(table, path, use_dictionary=[SPLIT])  # a dictionary of logits takes twenty times as long


def _columns(split: str, evaluation: Evaluation) -> dict[str, Any]:
    import pyarrow as pa

    arrays = {LOGITS: evaluation.logits, CLASSES: evaluation.classes}
    lists = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), array.shape[1])
        for name, array in arrays.items()
        if array is not None
    }
    predictions = vars(evaluation.predictions)
    return {SPLIT: pa.repeat(split, len(evaluation.logits)), **predictions, **lists}


def read_predictions(path: Path, split: str = "test") -> Predictions:
    """Return the predictions on a split. Raises InputError if an earlier version wrote the file, with fewer columns."""
    names = [field.name for field in fields(Predictions)]
    columns = read_columns(path, names, split)
    if missing := [name for name in names if name not in columns]:
        raise InputError(f"{path} has no column {', '.join(missing)}: an earlier version wrote it")
    return Predictions(**columns)


def read_logits(path: Path, split: str = "test") -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int32] | None]:
    """Return the logits on a split, and their classes, as in `Evaluation`."""
    lists = read_columns(path, (LOGITS, CLASSES), split)
    return lists[LOGITS], lists.get(CLASSES)


def read_columns(path: Path, names: Collection[str], split: str = "test") -> dict[str, npt.NDArray[Any]]:
    """Return columns of the images of a split, those of `names` that the file has: (n,), of lists (n, k).

    Reads by pyarrow: pandas takes seven times as long, and a report reads a file per trial. NumPy selects the split:
    the filter of a table takes longer than reading it. Pre-buffering doubles the time of a small file.
    A file without splits, of an earlier version, has test images only.
    """
    from pyarrow import compute
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path, pre_buffer=False) as file:
        table = file.read(columns=[SPLIT, *names], use_threads=False)
    columns = {name: _to_array(table[name]) for name in table.column_names if name != SPLIT}
    if SPLIT not in table.column_names:
        return columns
    is_in_split = np.asarray(compute.equal(table[SPLIT], split))
    return {name: column[is_in_split] for name, column in columns.items()}


def _to_array(column: Any) -> npt.NDArray[Any]:
    if not hasattr(column.type, "list_size"):
        return np.asarray(column)
    return np.asarray(column.combine_chunks().flatten()).reshape(-1, column.type.list_size)
