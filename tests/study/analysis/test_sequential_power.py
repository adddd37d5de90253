"""Power of looks to come, compared with a simulation of whole studies."""

import math

import numpy as np
import pytest

from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis.intervals import VarianceEstimate
from study.analysis.power import ClaimContrast
from study.analysis.sequential_power import plan_looks, planner_of_looks
from tests.study.analysis.test_power import better, pilot

DESIGN = SequentialDesign.between(3, 10)
LOOKS = (4, 6, 10)


@pytest.mark.parametrize("effect", [0.0, 0.01, 0.02, 0.04])
def test_power_is_how_often_a_later_look_excludes_the_bound(effect: float) -> None:
    """The simulation draws what the pilot leaves open, then seed after seed, and tests each study at each look."""
    rng = np.random.default_rng(5)
    decided, ends = [], []
    for _ in range(1500):
        true_sd = 0.01 * math.sqrt(6 / rng.chisquare(6))
        here = effect + true_sd / math.sqrt(3) * rng.standard_normal()
        seeds = [*(effect + 0.01 * np.array([-1, 0, 1])), *(here + true_sd * rng.standard_normal(7))]
        found = next((look for look in LOOKS if _is_decided(seeds[:look], DESIGN.level_of(look))), None)
        decided.append(found is not None)
        ends.append(found or 10)
    [plan] = plan_looks([better(pilot(effect))], LOOKS, DESIGN)
    assert plan.power == pytest.approx(np.mean(decided), abs=0.04)
    assert plan.expected_seeds == pytest.approx(np.mean(ends), abs=0.2)
    assert plan.required_seeds is None
    assert plan.text == (
        f"up to 10 seeds decide it with probability {100 * (plan.power or 0):.0f} %, {plan.expected_seeds:.1f} expected"
    )


def _is_decided(seeds: list[float], level: float) -> bool:
    contrast = pilot(float(np.mean(seeds)), num_seeds=len(seeds), seed_sd=float(np.std(seeds, ddof=1)))
    return 2 * min(contrast.p_value(0.0, 1), contrast.p_value(0.0, -1)) <= level


def test_other_inconclusive_claims_lower_the_power() -> None:
    [alone] = plan_looks([better(pilot(0.02))], LOOKS, DESIGN)
    beside, *_ = plan_looks([better(pilot(0.02)), *[better(pilot(0.0, image_sd=0.05))] * 3], LOOKS, DESIGN)
    assert (beside.power or 1) < (alone.power or 0) - 0.05


def test_equivalence_needs_both_bounds() -> None:
    narrow, wide = (
        plan_looks([ClaimContrast(contrast=pilot(0.0), num_contrasts=1, bounds=[(m, -1), (-m, 1)])], LOOKS, DESIGN)[0]
        for m in (0.005, 0.05)
    )
    assert (narrow.power or 0) < 0.5 < (wide.power or 0)


def test_nothing_is_planned_after_the_last_look_nor_from_two_seeds() -> None:
    few = ClaimContrast(contrast=pilot(0.01, num_seeds=2), num_contrasts=1, bounds=[(0.0, 1)])
    assert planner_of_looks(DESIGN, 10)([better(pilot(0.01))]) == plan_looks([few], LOOKS, DESIGN)
    [nothing] = planner_of_looks(DESIGN, 10)([better(pilot(0.01))])
    assert (nothing.power, nothing.expected_seeds, nothing.text) == (None, None, "")
    [plan] = planner_of_looks(DESIGN, 4)([better(pilot(0.01, num_seeds=4))])
    assert plan.text.startswith("up to 10 seeds decide it")
    assert VarianceEstimate(0.01**2, math.inf) == pilot(0.01).prior
