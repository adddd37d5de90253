"""Trials with their records: states, reasons why there is no result."""

from dataclasses import replace

from study.ledger.states import TrialState
from study.plan import Folders
from tests.study.made_plans import plan_of, record_of


def test_a_trial_without_a_record_is_new_or_stale_or_awaits_a_search(folders: Folders) -> None:
    trial = plan_of(folders).trials[0]
    assert (trial.state, trial.is_stale, trial.has_result, trial.missing) == (TrialState.NEW, False, False, "not run")
    stale = replace(trial, staleness_reason="data changed")
    assert (stale.is_stale, stale.missing) == (True, "stale")
    assert replace(trial, awaits="search at 1 of 8 points").missing == "search at 1 of 8 points"


def test_a_trial_with_a_record_has_its_state_and_says_what_is_missing(folders: Folders) -> None:
    trial = plan_of(folders).trials[0]
    finished = replace(trial, record=record_of(trial), staleness_reason="data changed")
    assert (finished.has_result, finished.is_stale, finished.missing) == (True, False, "")
    unmeasured = replace(finished, unmeasured="without predictions")
    assert (unmeasured.has_result, unmeasured.missing) == (False, "without predictions")
    diverged = replace(trial, record=record_of(trial, TrialState.DIVERGED))
    assert (diverged.has_result, diverged.missing) == (False, ""), "to diverge is a result"
    failed = replace(trial, record=record_of(trial, TrialState.FAILED, failure="out of memory"))
    assert (failed.state, failed.missing) == (TrialState.FAILED, "out of memory")
    stopped = replace(trial, record=record_of(trial, TrialState.INTERRUPTED))
    assert stopped.missing == "stopped early"
