"""A search trial is served by what has its validation values."""

from collections.abc import Mapping

import pytest

from revit.budget import compile_budget
from revit.config import FineTuneConfig
from revit.identity import InputDigests, identity
from study.ledger.records import TrialRecord
from study.ledger.reuse import find_record, identities_with_test
from study.ledger.states import TrialState

CONFIG = FineTuneConfig(dataset="digits", steps=10)
SEARCHED, CURVED = CONFIG.with_values({"test": False}), CONFIG.with_values({"test_curve": True})
BUDGET = compile_budget(CONFIG, 500, 1000)
DIGESTS = InputDigests(data="d", splits="s", weights="w", has_val=True, functions={})


def name_of(config: FineTuneConfig) -> str:
    return identity(config, BUDGET, DIGESTS)


def found(trials: Mapping[FineTuneConfig, TrialState], searched: FineTuneConfig = SEARCHED) -> str | None:
    """Return the identity of what serves, of trials in these states."""
    records = {
        name_of(config): TrialRecord(
            run_id="r", identity=name_of(config), state=state, last_step=0, metrics={}, params={}, tags={}
        )
        for config, state in trials.items()
    }
    record = find_record(name_of(searched), identities_with_test(searched, BUDGET, DIGESTS), records)
    return None if record is None else record.identity


@pytest.mark.parametrize("tested", [CONFIG, CURVED], ids=["tested", "with a test curve"])
def test_a_finished_trial_that_was_tested_serves_a_search(tested: FineTuneConfig) -> None:
    assert found({tested: TrialState.FINISHED}) == name_of(tested) != name_of(SEARCHED)


@pytest.mark.parametrize("state", [each for each in TrialState if each != TrialState.FINISHED])
def test_a_tested_trial_that_is_not_finished_does_not_serve(state: TrialState) -> None:
    """A diverged one may have diverged on the test split alone."""
    assert found({CONFIG: state}) is None
    assert found({CONFIG: state, CURVED: TrialState.FINISHED}) == name_of(CURVED)


@pytest.mark.parametrize("state", list(TrialState))
def test_the_search_trial_itself_serves_once_it_has_ended(state: TrialState) -> None:
    """So a search that is resumed sees the same history."""
    assert found({SEARCHED: state}) == name_of(SEARCHED)
    served = found({SEARCHED: state, CONFIG: TrialState.FINISHED})
    assert served == name_of(SEARCHED if state.is_terminal else CONFIG)


def test_a_tested_trial_is_served_by_itself_alone() -> None:
    assert identities_with_test(CONFIG, BUDGET, DIGESTS) == ()
    assert found({SEARCHED: TrialState.FINISHED, CURVED: TrialState.FINISHED}, CONFIG) is None


def test_another_trial_does_not_serve() -> None:
    others = ({"optimizer.lr": 0.5}, {"seed": 1}, {"selection": "best_val"}, {"ema_decay": 0.5})
    assert found({CONFIG.with_values(each): TrialState.FINISHED for each in others}) is None
    assert found({SEARCHED: TrialState.FINISHED}, SEARCHED.with_values({"seed": 1})) is None
