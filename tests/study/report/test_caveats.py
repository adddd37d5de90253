"""Caveats of a study, a line each."""

import itertools
from dataclasses import replace

import search_spaces
from revit.config import FineTuneConfig
from search_spaces.framework.sequential_design import SequentialDesign
from search_spaces.framework.space import SearchSpace
from study.plan import Plan
from study.report.caveats import (
    design_caveats,
    duplicate_caveats,
    plan_caveats,
    space_caveats,
    stale_caveats,
)
from tests.study.report.small_study import SPACE as SMALL
from tests.study.report.small_study import finish

SPACE = SearchSpace(
    name="rates", question="?", base=FineTuneConfig(dataset="digits", steps=5), scientific={"optimizer.lr": (1.0, 1e-5)}
)


def stale(plan: Plan) -> Plan:
    trials = [replace(trial, record=None, staleness_reason="data changed") for trial in plan.trials]
    return replace(plan, trials=trials)


def test_a_study_without_caveats_has_none() -> None:
    assert plan_caveats(finish(SPACE, (0, 1), itertools.repeat(0.9))) == []


def test_each_proxy_of_a_scale_is_named_once() -> None:
    scale, *proxies = space_caveats(search_spaces.load("resolution").variant(scale="nano"))
    assert "not evidence for or against any published claim" in scale
    assert [line.partition(":")[0] for line in proxies] == [
        "photos is a proxy for cifar100", "digits is a proxy for flowers102_nelorth",
    ]  # fmt: skip
    assert space_caveats(SPACE) == []


def test_trials_that_two_values_share_are_counted() -> None:
    plan = finish(SPACE, (0, 1), itertools.repeat(0.9))
    first = next(trial for trial in plan.trials if trial.candidate.config.seed == 0)
    trials = [replace(t, identity=first.identity) if t.candidate.config.seed == 0 else t for t in plan.trials]
    assert duplicate_caveats(plan) == []
    assert duplicate_caveats(replace(plan, trials=trials)) == [
        "optimizer.lr 1 and 1e-05: 1 of 2 trials are identical, trained once"
    ]


def test_trials_that_await_a_search_are_not_shared() -> None:
    plan = finish(SPACE, (0, 1), itertools.repeat(0.9))
    waiting = [replace(trial, identity="", awaits="search at 0 of 16 points") for trial in plan.trials]
    assert duplicate_caveats(replace(plan, trials=waiting)) == []


def test_stale_trials_are_counted_by_reason() -> None:
    plan = stale(finish(SPACE, (0, 1), itertools.repeat(0.9)))
    assert stale_caveats(plan) == [
        "stale: 4 of 4 trials have results of an earlier setup: data changed; plan lists them"
    ]


def test_a_sequential_design_says_what_is_corrected() -> None:
    plan = finish(SMALL, (0, 1), [0.5] * 12)
    [line] = design_caveats(replace(plan, design=SequentialDesign.between(3, 4)))
    assert line.startswith("sequential design: looks at 3, 4 seeds, at levels of 2.8, 2.2 %; verdicts, intervals and p")
    assert line.endswith("of claims and effects are corrected for the looks; intervals of cells are not")
    assert design_caveats(plan) == []
