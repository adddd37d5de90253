"""What the ledger knows of how much seeds vary: of trials of one dataset and model, whatever study asked for them."""

from collections.abc import Iterable, Mapping

from study.analysis.intervals import VarianceEstimate, pooled_variance
from study.ledger.records import DIGEST_PREFIX, TrialRecord
from study.ledger.states import TrialState


def pooled_variances(records: Iterable[TrialRecord]) -> dict[tuple[str, str], VarianceEstimate]:
    """Return the spread of test accuracy between seeds by dataset and model, pooled over what differs by seed only.

    A pair of which no trial was finished with two seeds is not in it.
    """
    cells: dict[frozenset[tuple[str, str]], list[TrialRecord]] = {}
    for record in records:
        if record.state == TrialState.FINISHED:
            cells.setdefault(_all_but_seed(record), []).append(record)
    by_pair: dict[tuple[str, str], list[list[float]]] = {}
    for cell in cells.values():
        params = cell[0].params
        accuracies = [record.metrics["test_accuracy"] for record in cell]
        by_pair.setdefault((params["dataset"], params["model.name"]), []).append(accuracies)
    pooled = {pair: pooled_variance(accuracies) for pair, accuracies in by_pair.items()}
    return {pair: spread for pair, spread in pooled.items() if spread is not None}


def _all_but_seed(record: TrialRecord) -> frozenset[tuple[str, str]]:
    params = {name: value for name, value in record.params.items() if name != "seed"}
    input_digests: Mapping[str, str] = {
        name: value for name, value in record.tags.items() if name.startswith(DIGEST_PREFIX)
    }
    return frozenset({**params, **input_digests}.items())
