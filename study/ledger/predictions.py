"""Predictions that trials left in the ledger."""

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from study.layout import PREDICTIONS
from study.ledger.ledger import Ledger


def read_correct(ledger: Ledger, run_id: str) -> npt.NDArray[np.bool_]:
    """Return which test images a finished trial classified correctly, (num_test,), in the order of its image store.

    Reads by pyarrow: pandas takes seven times as long for a file of this size, and there is one per trial.
    """
    with pq.ParquetFile(ledger.artifacts.path(run_id, PREDICTIONS)) as file:
        columns = file.read(columns=["index", "label", "prediction"], use_threads=False)
    index, label, prediction = (column.to_numpy() for column in columns.itercolumns())
    is_correct: npt.NDArray[np.bool_] = (label == prediction)[np.argsort(index)]
    return is_correct
