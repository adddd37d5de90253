"""Agreement of two results of one trial, which two stores trained."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from revit.training.metrics import PREFIXES
from revit.training.prediction_file import SPLIT
from study.layout import PREDICTIONS
from study.ledger.records import TrialRecord
from study.ledger.schema import POINT_PREFIX
from study.ledger.states import TrialState

MAX_RELATIVE = 1e-4
"""Largest difference of two values of a metric that agree, as a share of the larger one. Devices differ by less in the
last bits of equal predictions."""


class Difference(NamedTuple):
    """A value of a trial that differs between two stores, as text."""

    name: str
    here: str
    there: str


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Two results of one trial.

    Attributes:
        here, there: its records in this store and in the other one.
        differences: at least one.
    """

    here: TrialRecord
    there: TrialRecord
    differences: tuple[Difference, ...]

    @property
    def point(self) -> str:
        """Point of the trial in the study that is first by name."""
        return next((self.here.tags.get(f"{POINT_PREFIX}{study}", "") for study in sorted(self.here.studies)), "")


def find_differences(here: TrialRecord, there: TrialRecord, file_here: Path, file_there: Path) -> list[Difference]:
    """Return where two results of a trial differ; empty where they agree.

    They agree if every image has the same predicted class in both, and no metric of test or validation images differs
    by more than MAX_RELATIVE. Where a search pruned the trial depends on other trials, so that does not count.

    Args:
        file_here, file_there: their prediction files.
    """
    states = {here.state, there.state}
    if TrialState.PRUNED in states:
        return []
    if len(states) > 1:
        return [Difference("state", here.state, there.state)]
    if here.state != TrialState.FINISHED:
        return []
    return [*_metric_differences(here, there), *_prediction_differences(file_here, file_there)]


def _metric_differences(here: TrialRecord, there: TrialRecord) -> Iterator[Difference]:
    for name in sorted(here.metrics.keys() & there.metrics.keys()):
        first, second = here.metrics[name], there.metrics[name]
        is_result = name.rpartition("/")[2].startswith(tuple(PREFIXES.values()))
        if is_result and not _is_close(first, second):
            yield Difference(name, f"{first:.6g}", f"{second:.6g}")


def _is_close(first: float, second: float) -> bool:
    return math.isclose(first, second, rel_tol=MAX_RELATIVE) or (math.isnan(first) and math.isnan(second))


def _prediction_differences(here: Path, there: Path) -> Iterator[Difference]:
    if not (here.exists() and there.exists()):
        yield Difference(PREDICTIONS, *("a file" if each.exists() else "missing" for each in (here, there)))
    elif here.read_bytes() != there.read_bytes():
        first, second = _read(here), _read(there)
        if first.drop_columns("prediction") != second.drop_columns("prediction"):
            yield Difference("images", *(f"{len(each):,} in {PREDICTIONS}" for each in (first, second)))
        elif num_differ := np.count_nonzero(np.asarray(first["prediction"]) != np.asarray(second["prediction"])):
            yield Difference("predicted classes", "", f"{num_differ:,} of {len(first):,} images differ")


def _read(path: Path) -> pa.Table:
    """Return the images of a prediction file with their predicted classes, in an order of their own."""
    schema = parquet.read_schema(path)
    keys = [name for name in (SPLIT, "index") if name in schema.names]
    table = parquet.read_table(path, columns=[*keys, "label", "prediction"], use_threads=False)
    if SPLIT in keys:
        table = table.set_column(0, SPLIT, table[SPLIT].cast(pa.string()))
    return table.sort_by([(name, "ascending") for name in keys])
