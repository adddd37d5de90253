"""Frames of claims' trials: a row each, with the fields of a TrialResult and its value on every other axis."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np
import pandas as pd

from search_spaces.framework.claims import BetterThan, Claim, Matches
from study.analysis.claim_tests import ClaimResult, evaluate_claims
from study.analysis.contrasts import TrialResult
from study.analysis.intervals import VarianceEstimate

A, B = {"arm": "a"}, {"arm": "b"}
A_BETTER = BetterThan(better=A, worse=B, quote="")
MANY = 10**12
"""Number of test images at which they are no source of variance."""
STEADY = VarianceEstimate(0.0, math.inf)
"""Variance between the seeds of trials that do not vary."""
CLEAR = {"a": [0.951, 0.950, 0.949], "b": [0.902, 0.900, 0.901], "c": [0.852, 0.851, 0.850]}
SAME = {"a": [0.9501, 0.9500, 0.9499], "b": [0.9500, 0.9501, 0.9499], "c": [0.9499, 0.9500, 0.9501]}
AMONG = ("a", "b", "c")


def table(accuracies: Mapping[str, Sequence[float]], num_test: int = MANY, **more: object) -> pd.DataFrame:
    """Return a frame of arms with their accuracy by seed, 0 to 1, without predictions."""
    rows = [
        {
            "arm": arm,
            "seed": seed,
            "value": accuracy,
            "num_test": num_test,
            "correct": None,
            "prior_variance": None,
        }
        for arm, by_seed in accuracies.items()
        for seed, accuracy in enumerate(by_seed)
    ]
    return pd.DataFrame([{**row, **more} for row in rows])


def predicted(right: Mapping[str, np.ndarray], **more: object) -> pd.DataFrame:
    """Return a frame of arms with their correct images, (S seeds, n images) each."""
    rows = [
        {"arm": arm, "seed": seed, "value": images.mean(), "num_test": len(images), "correct": images}
        for arm, by_seed in right.items()
        for seed, images in enumerate(by_seed)
    ]
    return pd.DataFrame([{"prior_variance": None, **row, **more} for row in rows])


def discordant(only_a: int, only_b: int, num_test: int) -> pd.DataFrame:
    """Return a frame of one seed, with images that only one arm gets right; both get the rest right."""
    a, b = np.ones((2, 1, num_test), bool)
    b[0, :only_a] = False
    a[0, only_a : only_a + only_b] = False
    return predicted({"a": a, "b": b}, prior_variance=STEADY)


def trial_results(frame: pd.DataFrame) -> list[TrialResult]:
    names = {field.name for field in fields(TrialResult)} - {"point", "replicates", "run_id"}
    return [
        TrialResult(
            point={axis: value for axis, value in row.items() if axis not in names},
            **{name: None if row[name] is np.nan else row[name] for name in names},
        )
        for row in frame.to_dict("records")
    ]


def evaluate_one(claim: Claim, frame: pd.DataFrame) -> ClaimResult:
    (result,) = evaluate_claims((claim,), trial_results(frame))
    return result


def matches(**published: float) -> Matches:
    """Return the claim that arms match published accuracies within a point."""
    return Matches(axis="arm", published=published, margin=1, quote="")
