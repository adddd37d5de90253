"""The metric of a claim, checked."""

from dataclasses import replace

import pytest

from revit.errors import InputError
from search_spaces.framework.claim_metrics import check_claim_metric
from search_spaces.framework.claims import BetterThan, Matches

LESS = BetterThan(better={"t": "a"}, worse={"t": "b"}, at_least=10, quote="")


@pytest.mark.parametrize(
    ("claim", "metric", "message"),
    [
        (replace(LESS, metric="memory"), "accuracy", "metric = 'memory': must be one of accuracy, "),
        (replace(LESS, relative=True), "accuracy", "metric = 'accuracy': must be one that is measured while training"),
        (replace(LESS, relative=True, metric="loss"), "accuracy", "metric = 'loss': must be one that is measured"),
        (
            replace(LESS, relative=True, metric="peak_memory_bytes", at_least=100),
            "accuracy",
            "its margin = 100: must be less than 100 % of peak memory",
        ),
        (Matches(axis="t", published={"a": 90}, margin=1, quote=""), "loss", "published values are accuracies"),
    ],
)
def test_wrong_metrics_are_refused_in_one_line(claim: BetterThan | Matches, metric: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        check_claim_metric(claim, metric)
    assert str(error.value).isprintable()


def test_a_claim_may_name_any_metric() -> None:
    check_claim_metric(LESS, "accuracy")
    check_claim_metric(replace(LESS, metric="calibration_error"), "accuracy")
    check_claim_metric(replace(LESS, metric="peak_memory_bytes", relative=True), "accuracy")
    check_claim_metric(replace(LESS, metric="train_images_per_s", relative=True, at_least=200), "accuracy")
    check_claim_metric(Matches(axis="t", published={"a": 90}, margin=1, metric="accuracy", quote=""), "loss")
