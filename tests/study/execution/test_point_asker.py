"""Searches that are asked for trials, on a real ledger with real locks. The trials are not trained."""

import errno
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from revit.config import FineTuneConfig
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.execution.point_asker import PointAsker
from study.execution.searcher import TrialSearcher
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from tests.study.execution.asked_study import BASE, AskedStudy, near, points, space_of

BEST = near(0.01)
Begin = Callable[..., AskedStudy]


@pytest.fixture
def begin(tmp_path: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger]) -> Begin:
    """Begins a launch of `space_of` on one store, or on another of this name."""

    def start(
        space: SearchSpace | None = None, store: str = "mlruns", num_slots: int = 1, **changes: Any
    ) -> AskedStudy:
        root = tmp_path / store
        ledger = Ledger(root) if root.exists() else new_ledger(root)
        return AskedStudy(ledger, cache_dir, space or space_of(**changes), num_slots)

    return start


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of other launches ended long ago, as far as `changed_trials` knows; the searcher never polls."""
    monkeypatch.setattr("study.ledger.ledger.CLOCK_TOLERANCE_MS", 0)
    monkeypatch.setattr("study.execution.searcher.LOCK_POLL_S", 0.0)
    monkeypatch.setattr("study.execution.searcher.LOCK_WAIT_S", 20.0)
    monkeypatch.setattr("study.execution.searcher.IDLE_WAIT_S", 20.0)


def test_a_search_asks_for_its_points_then_tests_the_best_one_with_every_seed(begin: Begin) -> None:
    study = begin(seeds=(0, 1))
    trials = study.run(BEST)
    study.close()
    assert study.prepared == trials, "each before it is handed out"
    *searched, one, other = trials
    assert len({trial.identity for trial in trials}) == 8
    assert {trial.candidate.config.test for trial in searched} == {False}
    best = max(points(searched), key=lambda point: -abs(point["optimizer.lr"] / 0.01 - 1))
    assert one.candidate.nuisance == other.candidate.nuisance == best
    assert [(each.candidate.config.seed, each.candidate.config.val_fraction) for each in (one, other)] == [
        (0, 0.0), (1, 0.0)
    ]  # fmt: skip
    assert study.asker.num_unknown == 0
    assert study.plan.is_complete
    assert sorted(tag.number for [tag] in study.tags().values()) == list(range(6))


def test_a_search_learns_what_another_one_of_its_launch_has_read(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one reads each result first, and the ledger returns none of them again."""
    monkeypatch.setattr("study.ledger.ledger.CLOCK_TOLERANCE_MS", -1)
    study = begin(search=Search(sampler="random", num_trials=1, pruner="wilcoxon", seeds=(0, 1, 2, 3, 4)))
    other = PointAsker(study.plan, study.records, study.ledger, study.locks, study.recorder)
    for _ in range(5 + 1):
        trial = study.start()
        assert trial is not None
        study.end(trial, BEST(trial.candidate.config))
        while not other.refresh():
            time.sleep(0.01)
    study.close()
    assert study.plan.is_complete


@pytest.mark.parametrize("sampler", ["quasi_random", "random", "tpe", "gp"])
def test_a_search_goes_on_in_another_launch_as_it_would_have_in_one(begin: Begin, sampler: Any) -> None:
    """Launches end after a trial, in the middle of one, or as soon as its number is given."""
    space = space_of(search=Search(sampler=sampler, num_trials=6, enqueue=({"optimizer.lr": 0.02},)))
    whole = begin(space, "whole")
    expected = whole.run(BEST)
    whole.close()
    assert len(expected) == 7
    assert expected[0].candidate.config.optimizer.lr == 0.02
    first = begin(space)
    run = first.run(BEST, 2)
    first.start()
    first.close()
    second = begin(space)
    run += second.run(BEST, 2)
    [turn] = second.asker.turns()
    assert [trial.state for trial in second.asker.ask(turn, [])] == [TrialState.NEW], (
        "it has its number, and is not begun"
    )
    second.close()
    third = begin(space)
    run += third.run(BEST)
    third.close()
    assert [trial.identity for trial in run] == [trial.identity for trial in expected]
    assert third.tags() == whole.tags()
    assert third.plan.is_complete


def take_turns(studies: list[AskedStudy], accuracy: Any) -> list[str]:
    """Let launches begin a trial each, then end them, until there is none for any; return the identities in order."""
    trained: list[str] = []
    while begun := [(study, trial) for study in studies if (trial := study.start()) is not None]:
        trained += [trial.identity for _, trial in begun]
        for study, trial in begun:
            study.end(trial, accuracy(trial.candidate.config))
    return trained


def test_launches_at_the_same_time_give_each_number_once_and_train_no_point_twice(begin: Begin) -> None:
    """Each asks for a point while the other trains one; they know of each other from the ledger alone."""
    studies = [begin(seeds=(0, 1)), begin(seeds=(0, 1))]
    trained = take_turns(studies, BEST)
    assert len(trained) == len(set(trained)) == 6 + 2
    assert sorted(tag.number for [tag] in studies[0].tags().values()) == list(range(6))
    assert len({str(tag.point) for [tag] in studies[0].tags().values()}) == 6
    for study in studies:
        while study.searcher.num_left:  # the other launch is about to release a lock
            assert study.start() is None
        assert study.close().plan.is_complete


def test_a_point_that_another_study_has_searched_is_reused_and_the_other_launch_knows_its_number(begin: Begin) -> None:
    grid = {"nuisance": {"optimizer.lr": (0.1, 0.2, 0.3, 0.4)}, "search": Search()}
    first = begin(name="first", **{**grid, "nuisance": {"optimizer.lr": (0.1, 0.2, 0.4)}})
    before = first.run(BEST)
    first.close()
    studies = [begin(**grid), begin(**grid)]
    assert take_turns(studies, BEST) == [
        each.identity for each in studies[0].plan.all_trials if each.identity not in {one.identity for one in before}
    ]
    tags = studies[0].tags()
    assert sorted(tag.number for [tag] in tags.values()) == [0, 1, 2, 3]
    assert sum(each.identity in tags for each in before) == 3
    assert all(study.close().plan.is_complete for study in studies)


def test_a_tested_trial_of_another_study_serves_a_point(begin: Begin) -> None:
    plain = space_of(name="plain", nuisance={}, search=Search(), scientific={"optimizer.lr": (0.2,)})
    plain = replace(plain, base=BASE.with_values({"optimizer.name": "sgd"}))
    served = begin(plain)
    [tested] = served.run(lambda config: 0.9)
    served.close()
    study = begin(nuisance={"optimizer.lr": (0.1, 0.2)}, search=Search())
    trials = study.run(lambda config: 0.5)
    study.close()
    assert [(each.candidate.config.optimizer.lr, each.candidate.config.test) for each in trials] == [
        (0.1, False), (0.2, True)
    ]  # fmt: skip
    assert trials[1].identity != tested.identity, "it is trained on the validation images, too"
    assert [
        point.trials[0].record.identity
        for point in study.plan.searches[0].points
        if point.values["optimizer.lr"] == 0.2
    ] == [tested.identity]


def test_a_point_that_another_search_gave_up_is_trained_to_its_end(begin: Begin) -> None:
    grid = {"optimizer.lr": (0.1, 0.2)}
    search = Search(pruner="median")
    first = begin(name="first", nuisance=grid, search=search)
    pruned, _ = first.run(lambda config: TrialState.PRUNED if config.optimizer.lr == 0.1 else 0.5, 2)
    first.close()
    study = begin(nuisance=grid, search=Search())
    again, tested = study.run(lambda config: 0.9)
    study.close()
    assert again.identity == pruned.identity
    assert tested.candidate.nuisance == pruned.candidate.nuisance
    assert study.ledger.trials()[pruned.identity].state == TrialState.FINISHED


def test_a_pruned_point_is_over_for_its_own_search(begin: Begin) -> None:
    search = Search(sampler="tpe", num_trials=4, pruner="median")
    study = begin(search=search)
    trials = study.run(lambda config: TrialState.PRUNED if config.optimizer.lr < 0.01 else 0.5, 3)
    study.close()
    again = begin(search=search)
    more = again.run(lambda config: 0.9)
    again.close()
    assert len({each.identity for each in [*trials, *more]}) == 5
    [cell] = again.plan.searches
    assert Counter(point.state for point in cell.points)[TrialState.PRUNED] == Counter(
        each.candidate.config.optimizer.lr < 0.01 for each in trials
    )[True] > 0  # fmt: skip
    assert again.plan.trials[0].candidate.nuisance == more[0].candidate.nuisance


def test_failed_and_diverged_points_end_and_a_failed_one_runs_again_in_the_next_launch(begin: Begin) -> None:
    """The point that failed turns out to be the best one: it alone is tested in the end."""
    ends = iter([TrialState.FAILED, TrialState.DIVERGED])
    study = begin()
    trials = study.run(lambda config: next(ends, 0.5))
    study.close()
    assert len({each.identity for each in trials}) == len(trials) == 7
    failed, diverged, *_ = study.plan.searches[0].points
    assert (failed.state, diverged.state) == (TrialState.FAILED, TrialState.DIVERGED)
    assert study.plan.searches[0].is_over and not study.plan.is_complete
    again = begin()
    assert [each.identity for each in again.run(lambda config: 0.9)] == [
        failed.trials[0].identity, again.close().plan.trials[0].identity
    ]  # fmt: skip
    assert again.plan.trials[0].candidate.nuisance == failed.trials[0].candidate.nuisance
    assert again.plan.is_complete


def test_trials_that_a_launch_takes_over_are_handed_out_once(begin: Begin) -> None:
    """Two tested trials are left of a killed launch, and there are two places for them."""
    first = begin(seeds=(0, 1))
    first.run(BEST, 6)
    first.start()
    first.close()
    second = begin(num_slots=2, seeds=(0, 1))
    one, other = second.start(), second.start()
    assert one is not None and other is not None
    second.end(one, 0.5)
    assert second.start() is None
    second.end(other, 0.5)
    assert second.start() is None
    assert second.close().plan.is_complete


def test_a_search_with_more_trials_goes_on_where_it_ended(begin: Begin) -> None:
    expected = begin(store="whole", search=Search(sampler="tpe", num_trials=8)).run(BEST)
    first, more = begin(search=Search(sampler="tpe", num_trials=5)), None
    run = first.run(BEST)[:-1]
    first.close()
    more = begin(search=Search(sampler="tpe", num_trials=8))
    run += more.run(BEST)
    more.close()
    assert [each.identity for each in run if not each.candidate.config.test] == [
        each.identity for each in expected[:-1]
    ]
    assert more.plan.is_complete


def test_no_point_begins_once_the_time_of_a_cell_is_used(begin: Begin) -> None:
    """Each trial takes a second."""
    study = begin(
        search=Search(sampler="tpe", num_trials=6, time_budget_s=2.5), scientific={"optimizer.name": ("sgd", "adam")}
    )
    assert len(study.run(BEST)) == 2 * 3 + 2
    assert study.close().plan.is_complete


def test_the_last_points_of_a_finite_space_may_still_run_when_there_is_nothing_left_to_ask_for(begin: Begin) -> None:
    """`constraint` leaves three of the four whole numbers; the search has room for four points."""
    study = begin(
        num_slots=3, nuisance={"steps": Range(12, 15, integer=True)}, search=Search(num_trials=4),
        constraint=lambda config: config.steps != 14,
    )  # fmt: skip
    begun = [study.start() for _ in range(3)]
    study.end(begun[0], 0.5)
    assert study.start() is None
    for trial in begun[1:]:
        study.end(trial, 0.4)
    tested = study.start()
    assert tested is not None and tested.candidate.config.test
    study.end(tested, 0.5)
    assert study.close().plan.is_complete


def test_a_constraint_that_no_point_meets_stops_the_study_in_one_line(begin: Begin) -> None:
    study = begin(constraint=lambda config: config.optimizer.lr == 1e-4)
    [first] = study.run(BEST)
    assert first.candidate.nuisance == {"optimizer.lr": 1e-4}
    assert study.searcher.error == (
        "no trial can be started: no further point of the cell optimizer=sgd could be found: see `constraint`"
    )
    assert study.searcher.suggest("") == TrialSearcher.FINISHED, "Tune would ask for ten minutes"
    study.close()


SEEDS = Search(sampler="tpe", num_trials=4, pruner="wilcoxon", seeds=tuple(range(6)))


def worse_later(study: AskedStudy) -> Any:
    """The first point is good, the others are bad, with a little noise by seed."""
    first: list[float] = []

    def accuracy(config: FineTuneConfig) -> float:
        first.append(config.optimizer.lr)
        return (0.9 if config.optimizer.lr == first[0] else 0.3) + 0.01 * config.seed

    return accuracy


def test_later_seeds_of_a_bad_point_are_left_out_also_after_a_restart(begin: Begin) -> None:
    study = begin(search=SEEDS)
    accuracy = worse_later(study)
    trials = study.run(accuracy, 12)
    study.close()
    seeds = [each.candidate.config.seed for each in trials]
    assert seeds[:6] == list(range(6))
    assert seeds[6:] == [*range(4), 0, 1], "four pairs are needed, and the next point begins at once"
    again = begin(search=SEEDS)
    assert [point.state for point in again.plan.searches[0].points[:2]] == [TrialState.FINISHED, TrialState.PRUNED]
    more = again.run(accuracy)
    again.close()
    assert not {each.identity for each in trials} & {each.identity for each in more}
    assert [each.candidate.config.test for each in more][-1]
    assert again.plan.is_complete


def test_an_error_after_points_were_asked_for_loses_none_of_them(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store goes away just after the tested trials of the only cell were decided."""
    study = begin()
    study.run(BEST, 6)
    find, faults = study.ledger.find, [OSError(errno.ESTALE, "away")]

    def find_or_fail(identity: str) -> Any:
        if faults and study.asker.num_unknown == 0:
            raise faults.pop()
        return find(identity)

    monkeypatch.setattr(study.ledger, "find", find_or_fail)
    assert study.start() is None
    assert faults == []
    [tested] = study.run(BEST)
    assert tested.candidate.config.test
    assert study.close().plan.is_complete
