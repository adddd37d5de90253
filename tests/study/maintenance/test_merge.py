"""A merge of two stores is the store that one would have been."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.cells import StudyCell
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.analysis.results import cell_table
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.other_store import open_other_store
from study.ledger.records import SearchTag, TrialRecord
from study.ledger.schema import FIRST_RESULT_TAG, REGISTRATION_TAG
from study.ledger.states import TrialState
from study.maintenance.merge import MERGE_LOCK, find_forks, find_mergeable, summarize, take
from study.plan import Folders
from study.planning import Planner, make_plan
from study.registration.disagreements import find_disagreements
from tests.study.ledger.merged_stores import NOW, merge, write_record, write_trial
from tests.study.made_plans import planner_of, searched, space_of
from tests.study.registration.made_study import FASTER, SPACE, WIDE, with_claims
from tests.study.registration.written_study import WrittenStudy

Make = Callable[[], WrittenStudy]


@pytest.fixture
def new_study(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Make:
    """Makes an empty store of a study of eight trials."""
    return lambda: WrittenStudy(tmp_path_factory.mktemp("store"), cache_dir)


@pytest.fixture
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Ledger]:
    return lambda: Ledger(tmp_path_factory.mktemp("store"))


def ledger_of(study: WrittenStudy) -> Ledger:
    return cast(Ledger, study.ledger)


HALVES = [replace(SPACE, cells={"optimizer.lr": (lr,)}) for lr in (0.1, 0.2)]


def test_halves_of_a_study_merged_are_the_study_that_one_store_ran(new_study: Make) -> None:
    one, first, second = new_study(), new_study(), new_study()
    for half, store in zip(HALVES, (first, second), strict=True):
        one.launch(half)
        store.launch(half)
    found = merge(ledger_of(second), ledger_of(first))
    assert list(summarize(found)) == ["      4  to take (0 bytes): 4 of example", "      1  launches"]
    plan = first.plan()
    assert plan.is_complete
    assert cell_table(plan).equals(cell_table(one.plan()))
    assert [each.text for each in first.compare().claims] == [each.text for each in one.compare().claims]
    assert first.compare().deviations == one.compare().deviations == []
    assert first.compare().num_records == 2
    assert list(find_disagreements(first.history(), first.ledger.trials())) == []
    assert all(list(ledger_of(first).launches.infos()).count(each.launch) for each in first.ledger.trials().values())
    again = merge(ledger_of(second), ledger_of(first))
    assert (again.is_empty, len(again.equal)) == (True, 4)


def test_a_claim_that_only_the_other_store_had_registered_came_after_results_here(new_study: Make) -> None:
    """The texts are those of one store that both launches used."""
    one, first, second = new_study(), new_study(), new_study()
    few = with_claims(FASTER, WIDE, cells=HALVES[0].cells)
    for half, store in ((few, first), (HALVES[1], second)):
        one.launch(half)
        store.launch(half)
    merge(ledger_of(second), ledger_of(first))
    texts = [each.text for each in first.compare().claims]
    assert texts == [each.text for each in one.compare().claims]
    assert texts[2].startswith("added after 2 of 4 trials")
    assert [each.text for each in first.compare().deviations] == [each.text for each in one.compare().deviations]


@pytest.mark.parametrize("is_stopped", [False, True], ids=["in both", "stopped here"])
def test_results_that_another_store_had_before_a_record_are_not_forgotten(new_study: Make, is_stopped: bool) -> None:
    """The trials here began under the record, but somebody had seen their results elsewhere."""
    early, late = new_study(), new_study()
    early.launch(registers=False)
    late.launch(num_finished=0 if is_stopped else 8, num_begun=8 if is_stopped else 0)
    assert late.compare().claims[0].text == "registered before all 8 trials"
    merge(ledger_of(early), ledger_of(late))
    assert late.compare().claims[0].text == "registered after 8 of 8 trials: 8 run before registration existed"
    assert merge(ledger_of(early), ledger_of(late)).is_empty


def test_results_here_before_a_record_stay_known_where_the_other_store_finished_the_trials(new_study: Make) -> None:
    early, late = new_study(), new_study()
    early.launch(num_finished=0, num_begun=8, registers=False)
    late.launch()
    merge(ledger_of(late), ledger_of(early))
    assert {trial.state for trial in early.ledger.trials().values()} == {TrialState.FINISHED}
    assert early.compare().claims[0].text == "registered after 8 of 8 trials: 8 run before registration existed"


def test_of_three_stores_the_earliest_result_counts(new_store: Callable[[], Ledger]) -> None:
    stores = [new_store(), new_store(), new_store()]
    for number, ledger in enumerate(stores):
        write_trial(ledger, "a", tags={REGISTRATION_TAG: str(number)})
    oldest, middle, newest = stores
    merge(oldest, newest)
    assert merge(middle, newest).tags == {}
    tags = newest.trials()["a"].tags
    assert (tags[FIRST_RESULT_TAG], tags[REGISTRATION_TAG]) == (str(NOW + 1), "0")


def test_different_results_are_named_and_stay_as_they_are(new_store: Callable[[], Ledger]) -> None:
    here, there = new_store(), new_store()
    for ledger, accuracy in ((here, 0.5), (there, 0.6)):
        write_trial(ledger, "same")
        write_trial(ledger, "differs", metrics={"test_accuracy": accuracy}, tags={"device": f"gpu {accuracy}"})
    before = here.trials()
    found = merge(there, here)
    [each] = found.disagreements
    assert each.differences == (("test_accuracy", "0.5", "0.6"),)
    assert (each.here.environment["device"], each.there.environment["device"]) == ("gpu 0.5", "gpu 0.6")
    assert not found.agrees
    assert here.trials() == before


def test_only_whole_results_are_taken_and_studies_are_shared(new_store: Callable[[], Ledger]) -> None:
    here, there = new_store(), new_store()
    both = {"study.mine": "yes", "cell.mine": "1"}, {"study.other": "yes", "cell.other": "2", "dataset": "d"}
    for ledger, tags in zip((here, there), both, strict=True):
        write_trial(ledger, "both", tags=tags)
    for state in (TrialState.FAILED, TrialState.INTERRUPTED):
        write_trial(there, state, state)
    write_trial(there, "damaged", files=("config.json",))
    found = merge(there, here)
    assert list(summarize(found)) == [
        "      1  in both, with equal results",
        "      2  not ended there: not taken",
        "      1  finished there, without all of their files: not taken",
        "      4  launches",
        f"not taken: damaged: built.json, predictions.parquet missing in {there.root}",
    ]
    assert here.trials().keys() == {"both"}
    shared = here.trials()["both"].tags
    assert {**both[0], "study.other": "yes", "cell.other": "2"}.items() <= shared.items()
    assert "dataset" not in shared, "only what a study says of it"


def test_a_trial_that_a_launch_has_is_left_and_a_second_merge_is_refused(new_store: Callable[[], Ledger]) -> None:
    here, there = new_store(), new_store()
    for identity in ("free", "trained"):
        write_trial(there, identity)
    locks = Locks(here.root / "locks")
    with open_other_store(there.root, "") as other:
        locks.acquire("trained")
        found = find_mergeable(other, here)
        assert sorted(take(found, other, here, {}, print)) == [False, True]
        assert here.trials().keys() == {"free"}
        locks.release("trained")
        locks.acquire(MERGE_LOCK)
        with pytest.raises(InputError, match=f"another merge into the store {here.root} has not ended"):
            next(take(found, other, here, {}, print))
    locks.release(MERGE_LOCK)
    merge(there, here)
    assert here.trials().keys() == {"free", "trained"}
    assert here.launches.running() == {}
    assert not list((here.root / "locks").iterdir())
    counts = [each.metrics["num_taken"] for each in here.launches.infos().values() if "num_taken" in each.metrics]
    assert sorted(counts) == [0.0, 1.0, 1.0]


def test_a_trial_that_got_a_new_identity_here_is_not_taken_again(new_store: Callable[[], Ledger]) -> None:
    here, there = new_store(), new_store()
    write_trial(there, "old")
    merge(there, here)
    here.runs.tag(here.trials()["old"].run_id, {"identity": "new"})
    assert merge(there, here).is_empty


def searched_space(*enqueued: float) -> SearchSpace:
    """Return a space whose searches begin with these learning rates; two such searches have one tag."""
    return space_of(
        scientific={"model.pos_embed": ("learned", "none")},
        nuisance={"optimizer.lr": Range(0.01, 1.0, log=True)},
        search=Search(num_trials=3, enqueue=tuple({"optimizer.lr": lr} for lr in enqueued)),
        seeds=(0,),
    )


def test_searches_with_equal_points_are_one_and_others_stay_as_they_are(
    new_store: Callable[[], Ledger], folders: Folders
) -> None:
    here, there = new_store(), new_store()
    space = searched_space(0.1)
    planner = planner_of(space, folders)
    forked, shared = planner.cells
    ours, alike, others = (searched(each, folders, rate) for each in (space, space, searched_space(0.1, 0.5)))
    kept = {
        here: _of_cell(ours, planner, forked) | dict(list(_of_cell(ours, planner, shared).items())[:1]),
        there: _of_cell(others, planner, forked) | _of_cell(alike, planner, shared),
    }
    for ledger, records in kept.items():
        launch = ledger.launches.open("example", {})
        for record in records.values():
            write_record(ledger, record, launch)
    before = planner.search(forked, here.trials())
    found = merge(there, here)
    assert found.forks == [(planner.search_tag, str(forked.values))]
    assert "searched in both stores with different points; the search here stays as it is" in list(summarize(found))[-1]
    records = here.trials()
    assert records.keys() == kept[here].keys() | kept[there].keys(), "their trials serve whatever asks for them"
    after = planner.search(forked, records)
    assert (after.history, after.chosen) == (before.history, before.chosen)
    whole = planner.search(shared, records)
    assert (whole.history, whole.is_over) == (planner.search(shared, alike).history, True)


def rate(config: FineTuneConfig) -> float:
    return config.optimizer.lr


def _of_cell(records: dict[str, TrialRecord], planner: Planner, cell: StudyCell) -> dict[str, TrialRecord]:
    places = {name: SearchTag.from_json(each.tags[planner.search_tag]) for name, each in records.items()}
    return {name: records[name] for name, place in places.items() if place is not None and place.cell == cell.values}


def test_a_number_that_a_launch_gives_away_meanwhile_is_not_given_twice(
    new_store: Callable[[], Ledger], folders: Folders
) -> None:
    here, there = new_store(), new_store()
    tags = [{"search.s.0": SearchTag(cell={"a": 1}, number=0, point={"lr": lr}).to_json()} for lr in (0.1, 0.2)]
    write_trial(there, "theirs", tags=tags[0])
    with open_other_store(there.root, "") as other:
        found = find_mergeable(other, here)
        write_trial(here, "ours", tags=tags[1])
        assert list(take(found, other, here, {}, print)) == [True]
    assert here.search_trials("search.s.0", {"a": 1}, 0).keys() == {"ours"}
    assert here.trials()["theirs"].state == TrialState.FINISHED


def place(number: int, lr: float, cell: str = "c", tag: str = "search.s.0") -> TrialRecord:
    text = json.dumps({"cell": {"a": cell}, "number": number, "point": {"lr": lr}})
    ended = TrialState.FINISHED
    return TrialRecord(run_id="", identity="", state=ended, last_step=1, metrics={}, params={}, tags={tag: text})


@pytest.mark.parametrize(
    ("here", "there", "cells"),
    [
        ([place(0, 0.1), place(1, 0.2)], [place(0, 0.1), place(2, 0.3)], []),
        ([place(0, 0.1), place(1, 0.2)], [place(0, 0.1), place(1, 0.3)], ["{'a': 'c'}"]),
        ([place(0, 0.1)], [place(0, 0.2, cell="d")], []),
        ([place(0, 0.1)], [place(0, 0.2, tag="search.s.1")], []),
        ([place(0, 0.1), place(0, 0.1, cell="d")], [place(0, 0.1), place(0, 0.2, cell="d")], ["{'a': 'd'}"]),
        ([], [place(0, 0.1)], []),
    ],
)
def test_forks_are_cells_with_two_points_of_one_number(
    here: list[TrialRecord], there: list[TrialRecord], cells: list[str]
) -> None:
    assert find_forks(here, there) == [("search.s.0", cell) for cell in cells]


def test_a_plan_of_a_merged_store_runs_nothing_again(new_store: Callable[[], Ledger], folders: Folders) -> None:
    here, there = new_store(), new_store()
    space = space_of()
    plan = make_plan(space, space.seeds, folders, {})
    for trial in plan.trials:
        write_trial(there, trial.identity, config=trial.candidate.config.flat())
    merge(there, here)
    merged = make_plan(space, space.seeds, folders, here.trials())
    assert merged.is_complete
    assert {trial.record.params["dataset"] for trial in merged.trials if trial.record} == {"digits"}
