"""Models that studies keep: the tested weights of a trial, as an artifact of its run."""

from collections.abc import Iterable

from revit.training.metrics import METRICS
from study.ledger.schema import val_value_name
from study.ledger.states import TrialState
from study.trial import Trial


def best_trial(trials: Iterable[Trial], metric: str) -> Trial | None:
    """Return the finished trial of a cell with the best value on validation images; None where one has no value.

    Test images have no part in it. Of equal values, the lowest seed is the best.

    Args:
        trials: of one cell, which differ in their seeds.
        metric: key of METRICS, of predictions: the `tuned_metric` of the study.
    """
    name, sign = val_value_name(metric), METRICS[metric].sign
    finished = [each for each in trials if each.state == TrialState.FINISHED]
    values = {
        each.identity: (sign * each.record.metrics[name], -each.candidate.config.seed)
        for each in finished
        if each.record is not None and name in each.record.metrics
    }
    is_known = finished and len(values) == len(finished)
    return max(finished, key=lambda each: values[each.identity]) if is_known else None
