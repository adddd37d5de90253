"""Searches: invalid values."""

from typing import Any

import pytest

from revit.errors import InputError
from search_spaces.framework import search
from search_spaces.framework.search import Search

INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown sampler": ({"sampler": "sobol"}, "sampler = 'sobol': must be one of grid, quasi_random, random, tpe"),
    "an unknown pruner": ({"pruner": "asha"}, "pruner = 'asha': must be one of successive_halving, median, wilcoxon"),
    "no trials": ({"num_trials": 0}, "num_trials = 0: must be above 0"),
    "half a trial": ({"num_trials": 1.5}, "num_trials = 1.5: must be a whole number or None"),
    "no time": ({"time_budget_s": -1.0}, "time_budget_s = -1.0: must be above 0"),
    "time without end": ({"time_budget_s": float("inf")}, "time_budget_s = inf: must be a finite number"),
    "no seeds": ({"seeds": ()}, "seeds = (): must be different, and at least one"),
    "a seed twice": ({"seeds": (1, 1)}, "seeds = (1, 1): must be different"),
    "too few seeds to compare": (
        {"pruner": "wilcoxon", "seeds": (0, 1, 2, 3)},
        "pruner = 'wilcoxon': must be successive_halving or median: it compares 5 seeds or more",
    ),
    "curves of several seeds": ({"pruner": "median", "seeds": (0, 1)}, "pruner = 'median': must be wilcoxon"),
    "a pruner of two objectives": (
        {"pruner": "median", "objectives": ("accuracy", "loss")},
        "pruner = 'median': must be None, as it compares one objective, and there are 2",
    ),
    "a bare point": ({"enqueue": {"optimizer.lr": 0.1}}, "enqueue = {'optimizer.lr': 0.1}: must be"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_search_is_refused_in_one_line(case: str) -> None:
    given, message = INVALID[case]
    with pytest.raises(InputError) as raised:
        Search(**given)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_sampler_whose_package_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Search(sampler="gp")
    monkeypatch.setitem(search.PACKAGES, "gp", "no_such_package")
    with pytest.raises(InputError, match=r"^sampler = 'gp': needs the package no_such_package, which is not installed"):
        Search(sampler="gp")
    Search(sampler="tpe")


def test_lists_equal_tuples() -> None:
    lists: Any = {"seeds": [0, 1], "enqueue": [{"optimizer.lr": 0.1}], "objectives": ["accuracy"]}
    assert Search(**lists) == Search(seeds=(0, 1), enqueue=({"optimizer.lr": 0.1},), objectives=("accuracy",))


@pytest.mark.parametrize(
    ("pruner", "seeds", "expected"),
    [
        (None, (0,), False),
        ("median", (0,), True),
        ("successive_halving", (0,), True),
        ("wilcoxon", (0, 1, 2, 3, 4), False),
    ],
)
def test_some_pruners_compare_curves(pruner: Any, seeds: tuple[int, ...], expected: bool) -> None:
    assert Search(pruner=pruner, seeds=seeds).prunes_curves is expected
