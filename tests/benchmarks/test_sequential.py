"""A few simulated studies with looks; all of them: python -m benchmarks sequential."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from benchmarks.coverage import AGREEMENTS
from benchmarks.sequential import (
    CHOSEN,
    DESIGN,
    MAX_POWER_LOSS,
    SPENDINGS,
    Power,
    format_share,
    measure,
    power_of,
    try_design,
    wrong_verdicts,
)
from search_spaces.framework.sequential_design import SequentialDesign


def test_few_studies_without_an_effect_get_a_verdict() -> None:
    wrong, naive = wrong_verdicts(AGREEMENTS["little"], 300, num_studies=12)
    assert wrong <= 12 * 0.05 + 3 * (12 * 0.05 * 0.95) ** 0.5
    assert wrong <= naive


def test_power_and_seeds_are_about_as_stated() -> None:
    found = power_of(AGREEMENTS["little"], 300, num_studies=15)
    assert found.num_open > 30
    assert abs(found.stated - found.reached) / found.num_open < 0.2
    assert abs(found.expected - found.taken) / found.num_open < 1
    assert found.seeds < found.seeds_of_all
    assert found.num_claims == 45 >= found.decided_by_all > found.decided / 2 > 0


def test_the_chosen_design_loses_little_power_and_others_more() -> None:
    looks, name = CHOSEN
    assert looks == DESIGN.looks
    chosen, at_each_seed = (
        try_design(SequentialDesign(looks=each, **SPENDINGS[name]), 1000)  # type: ignore[arg-type]  # keywords by name
        for each in (looks, tuple(range(3, 11)))
    )
    assert chosen[1] < MAX_POWER_LOSS < at_each_seed[1]
    assert np.all(np.diff(chosen[2]) <= 0), "larger effects need fewer seeds"
    assert chosen[2][-1] < 4


@pytest.mark.parametrize(("count", "total"), [(0, 2000), (57, 2000), (50, 50)])
def test_shares_have_wilsons_interval(count: int, total: int) -> None:
    low, high = proportion_confint(count, total, method="wilson")
    assert format_share(count, total) == f"{100 * count / total:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def test_the_table_has_a_line_for_each_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.sequential.wrong_verdicts", lambda *_: (1, 5))
    found = Power(num_open=4, stated=2.0, reached=3, expected=20, taken=22, num_claims=6, seeds=30, seeds_of_all=40)
    monkeypatch.setattr("benchmarks.sequential.power_of", lambda *_: found)
    monkeypatch.setattr("benchmarks.sequential.try_design", lambda *_: (0.01, 0.02, [3.0] * 7))
    null, power, seeds, *choices = measure(tiny=True)
    assert (null.ratio, null.met) == (1.0, True)
    assert (power.ratio, power.met, seeds.ratio) == (0.25, False, 0.75)
    assert [each.met for each in choices].count(True) == 1
