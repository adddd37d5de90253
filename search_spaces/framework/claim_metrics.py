"""Metrics that claims are about, checked."""

from revit.errors import InputError
from revit.validation import require
from search_spaces.framework.claims import BetterThan, Claim, Matches


def check_claim_metric(claim: Claim, study_metric: str) -> None:
    """Check that a claim can be about its metric: its own, or its study's.

    Raises:
        InputError: an unknown metric, published accuracies with another metric, or a relative margin of a metric that
            has none.
    """
    name = study_metric if claim.metric is None else claim.metric
    is_relative = isinstance(claim, BetterThan) and claim.relative
    if name == "accuracy" and not is_relative:
        return
    from revit.training.metrics import find_metric  # loads numpy, which lists of studies do without

    try:
        metric = find_metric(name)
    except InputError as error:
        raise InputError(f"claim '{claim}': {error}") from error
    if isinstance(claim, Matches):
        raise InputError(f"claim '{claim}': published values are accuracies, and metric is {name}")
    if isinstance(claim, BetterThan) and claim.relative:
        is_measured = metric.of_predictions is None
        require(is_measured, f"claim '{claim}': metric", name, "one that is measured while training, as it is relative")
        largest = max(claim.at_least, claim.at_most or 0)
        fits = metric.direction == "maximize" or largest < 100
        require(fits, f"claim '{claim}': its margin", largest, f"less than 100 % of {metric.title}")
