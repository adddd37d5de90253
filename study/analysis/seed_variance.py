"""Variance between seeds, pooled over the trials of the ledger."""

from collections.abc import Iterable

from study.analysis.intervals import VarianceEstimate, pooled_variance
from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX, TEST_ACCURACY
from study.ledger.states import TrialState


def pooled_variances(records: Iterable[TrialRecord]) -> dict[tuple[str, str], VarianceEstimate]:
    """Return the variance of test accuracy between seeds by dataset and model.

    It is pooled over groups of finished trials that differ only by seed. A pair without two such trials is left out.
    """
    cells: dict[frozenset[tuple[str, str]], list[TrialRecord]] = {}
    for record in records:
        if record.state == TrialState.FINISHED:
            cells.setdefault(_setup_without_seed(record), []).append(record)
    by_pair: dict[tuple[str, str], list[list[float]]] = {}
    for cell in cells.values():
        params = cell[0].params
        accuracies = [record.metrics[TEST_ACCURACY] for record in cell]
        by_pair.setdefault((params["dataset"], params["model.name"]), []).append(accuracies)
    pooled = {pair: pooled_variance(accuracies) for pair, accuracies in by_pair.items()}
    return {pair: variance for pair, variance in pooled.items() if variance is not None}


def _setup_without_seed(record: TrialRecord) -> frozenset[tuple[str, str]]:
    params = {name: value for name, value in record.params.items() if name != "seed"}
    input_digests = {name: value for name, value in record.tags.items() if name.startswith(DIGEST_PREFIX)}
    return frozenset({**params, **input_digests}.items())
