"""A few simulated studies; all of them: python -m pytest tests/benchmarks/test_coverage.py -m long."""

from collections.abc import Mapping

import numpy as np
import pytest

from benchmarks.coverage import (
    AGREEMENTS,
    CLAIMS,
    MAX_FALSE,
    MAX_POWER_GAP,
    MIN_COVERAGE,
    TABLES,
    Cells,
    Images,
    coverage,
    false_verdicts,
    is_within_limit,
    noise,
    power,
    study,
)
from study.analysis.claim_tests import evaluate_claims

LARGE: Mapping[str, Cells] = {
    "better than": {(0, 0): 0.0, (1, 0): -0.2},
    "gap": {(0, 0): 0.0, (1, 0): -0.22},
    "best": {(0, 0): 0.0, **{(arm, 0): -0.2 for arm in range(1, 4)}},
    "trend": {(arm, 0): -0.1 * (3 - arm) for arm in range(4)},
    "one of two": {(0, 0): 0.0, (1, 0): -0.1, (2, 0): -0.4, (3, 0): -0.4},
    "larger gap": {(0, 0): 0.0, (0, 1): -0.5, (1, 0): 0.0, (1, 1): -0.2},
    "no difference": {(arm, 0): 0.2 * (arm == 1) - 0.2 for arm in range(3)},
    "matches": {(0, 0): 0.0, (1, 0): -0.22},
}
"""Effects far beyond the bounds: all claims are true except the last two."""


@pytest.mark.parametrize("name", AGREEMENTS)
def test_simulated_trials_have_the_accuracy_and_agreement_of_their_setting(name: str) -> None:
    agreement = AGREEMENTS[name]
    rng = np.random.default_rng(0)
    correct, accuracy = Images.draw(rng, [0.9, 0.6], 100_000, agreement).test(rng, 8)
    assert correct.mean(-1) == pytest.approx(accuracy, abs=0.01)
    assert accuracy.mean(1) == pytest.approx([0.9, 0.6], abs=2 * agreement.seed_sd)
    agreed = (correct[1, 0] == correct[1, 1]).mean()
    assert {"tight": 0.85, "wide": 0.7, "little": 0.5}[name] < agreed < {"tight": 1, "wide": 0.85, "little": 0.65}[name]


@pytest.mark.parametrize("num_seeds", [1, 2, 3, 5])
@pytest.mark.parametrize(("name", "num_test"), [("tight", 40), ("tight", 600), ("wide", 600), ("little", 40)])
def test_intervals_cover_the_accuracy_on_new_images(name: str, num_test: int, num_seeds: int) -> None:
    """Student's t over seeds alone covers 46 % with five tight seeds; with three on 40 images, 14 % have no width."""
    covered = coverage(np.random.default_rng(0), AGREEMENTS[name], num_test, num_seeds, num_studies=200)
    assert covered >= MIN_COVERAGE - noise(MIN_COVERAGE, 200)


@pytest.mark.parametrize(("name", "num_test", "num_seeds"), [("wide", 600, 1), ("wide", 600, 2), ("tight", 40, 3)])
def test_false_verdicts_are_few(name: str, num_test: int, num_seeds: int) -> None:
    found = false_verdicts(np.random.default_rng(0), AGREEMENTS[name], num_test, num_seeds, num_studies=200)
    assert found <= MAX_FALSE + noise(MAX_FALSE, 200)


def test_power_is_as_stated() -> None:
    for each in power(np.random.default_rng(0), AGREEMENTS["little"], 300, num_studies=60):
        assert each.num_claims > 40
        assert abs(each.stated - each.reached) <= MAX_POWER_GAP + noise(each.stated, each.num_claims)


@pytest.mark.parametrize("num_seeds", [1, 3])
def test_a_large_true_difference_is_found(num_seeds: int) -> None:
    """Each claim in 80 % of the studies, and in none with the opposite verdict."""
    rng = np.random.default_rng(0)
    found = [
        [each.verdict for each in evaluate_claims(CLAIMS, study(rng, LARGE, AGREEMENTS["little"], 600, num_seeds))]
        for _ in range(40)
    ]
    truth = ["supported"] * 6 + ["contradicted"] * 2
    assert (np.array(found) == truth).mean(0).min() >= 0.8
    assert all(
        verdict in (expected, "inconclusive") for each in found for verdict, expected in zip(each, truth, strict=True)
    )


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("table", TABLES)
def test_all_settings_at_length(table: str) -> None:
    assert is_within_limit(table, 2000)
