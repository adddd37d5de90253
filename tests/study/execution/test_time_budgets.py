"""Time budgets that are shorter than one trial."""

from dataclasses import replace

import pytest

from revit.errors import InputError
from revit.models.cost import forward_gflops
from search_spaces.framework.search import Search
from study import api
from study.execution.time_budgets import MAX_FLOPS, check_time_budget
from study.plan import Folders, Plan
from study.planning import make_plan
from tests.study.made_plans import BASE, plan_of, planner_of, searched, space_of

TUNED = {"nuisance": {"optimizer.momentum": (0.0, 0.5, 0.9)}, "seeds": (0,)}


def with_budget(folders: Folders, seconds: float | None, **changes: object) -> Plan:
    return plan_of(folders, **TUNED | {"search": Search(time_budget_s=seconds)} | changes)


def test_a_budget_shorter_than_the_forward_passes_of_one_trial_is_refused(folders: Folders) -> None:
    """5 steps of 128 images of 8 px."""
    bound = 1e9 * forward_gflops("vit_nano", 8) * 128 * 5 / MAX_FLOPS
    check_time_budget(with_budget(folders, 1.01 * bound))
    check_time_budget(with_budget(folders, None))
    with pytest.raises(InputError) as raised:
        check_time_budget(with_budget(folders, 0.5 * bound))
    assert str(raised.value) == (
        f"time_budget_s = {0.5 * bound:g}: must be at least {bound:.3g}, the seconds of one trial of lr=0.1, "
        "at the very least"
    )


def test_a_budget_shorter_than_a_measured_trial_is_refused(folders: Folders) -> None:
    """A finished trial of 5 steps took 1 s; one of 50 takes 10 s."""
    space = space_of(**TUNED, scientific={"steps": (5, 50)}, search=Search())
    [short, _] = planner_of(space, folders).cells
    done = searched(space, folders, lambda config: 0.5)
    records = {name: record for name, record in done.items() if record.params["steps"] == "5"}

    def check(seconds: float) -> None:
        budget = replace(space, search=Search(time_budget_s=seconds))
        check_time_budget(make_plan(budget, (0,), folders, records))

    assert short.values == {"steps": 5}
    check(10.5)
    with pytest.raises(InputError, match=r"^time_budget_s = 9\.5: must be at least 10, .* of steps=50, as measured$"):
        check(9.5)


def test_a_search_that_is_over_needs_no_time(folders: Folders) -> None:
    records = searched(space_of(**TUNED), folders, lambda config: 0.5)
    space = space_of(**TUNED, search=Search(time_budget_s=0.5))
    plan = make_plan(space, (0,), folders, records)
    assert {search.is_over for search in plan.searches} == {True}
    check_time_budget(plan)
    check_time_budget(plan_of(folders, base=BASE))


def test_it_is_refused_before_ray_starts(folders: Folders) -> None:
    with pytest.raises(InputError, match=r"^time_budget_s = 1e-09: must be at least"):
        api.check_can_run([with_budget(folders, 1e-9)])
