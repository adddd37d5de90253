"""Time that the trials of a study took."""

from dataclasses import replace
from pathlib import Path

import pytest

from study.analysis.time_used import OTHERS, SEARCHED, TESTED, UNFINISHED, time_used
from study.ledger.states import TrialState
from study.plan import Folders
from tests.study.made_plans import plan_of, record_of, searched, space_of

NUISANCE = {"scientific": {"schedule.name": ("cosine", "constant")}, "nuisance": {"optimizer.lr": (0.1, 0.2)}}


@pytest.fixture
def folders(tmp_path: Path, cache_dir: Path) -> Folders:
    return Folders(store=tmp_path, data=tmp_path, cache=cache_dir)


def test_every_trial_counts_once_by_purpose_and_device(folders: Folders) -> None:
    first, second, third, _ = plan_of(folders).trials
    records = [
        replace(record_of(first, device="cpu"), start_s=100, end_s=110),
        replace(record_of(second, device="H100", workers="2"), start_s=100, end_s=130),
        replace(record_of(third, TrialState.FAILED, device="cpu"), start_s=100, end_s=107),
    ]
    earlier = replace(record_of(first, device="cpu"), identity="earlier", run_id="r", start_s=1, end_s=4)
    elsewhere = replace(record_of(first, recipe="authors", scale="nano"), identity="other", run_id="q", end_s=9)
    plan = plan_of(folders, {each.identity: each for each in [*records, earlier, elsewhere]})
    found = {(each.purpose, each.device): (each.num_trials, each.seconds) for each in time_used(plan)}
    assert found == {
        (TESTED, "cpu"): (1, 10.0),
        (TESTED, "H100"): (1, 60.0),
        (UNFINISHED, "cpu"): (1, 7.0),
        (OTHERS, "cpu"): (1, 3.0),
    }


def test_trials_of_searches_are_apart_and_unknown_times_are_not_zero_seconds_each(folders: Folders) -> None:
    records = searched(space_of(**NUISANCE), folders, lambda config: config.optimizer.lr)
    known = {
        name: replace(record, start_s=10, end_s=14) if number == 0 else record
        for number, (name, record) in enumerate(records.items())
    }
    [used] = time_used(plan_of(folders, known, **NUISANCE))
    assert (used.purpose, used.num_trials, used.num_timed) == (SEARCHED, 4, 1)
    assert (used.seconds, used.seconds_per_trial) == (4.0, 4.0)


def test_a_study_that_never_ran_took_no_time(folders: Folders) -> None:
    assert time_used(plan_of(folders)) == []
