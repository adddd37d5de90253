"""study.ledger.states, against MLflow's own statuses."""

import pytest
from mlflow.entities import RunStatus

from study.ledger.states import TrialState


@pytest.mark.parametrize("state", TrialState)
def test_a_terminal_state_has_a_terminal_status_in_mlflow(state: TrialState) -> None:
    status = RunStatus.from_string(state.mlflow_status)
    assert RunStatus.is_terminated(status) or not state.is_terminal


def test_a_state_is_the_word_that_people_read() -> None:
    assert f"{TrialState.FINISHED} {TrialState('diverged')}" == "finished diverged"


def test_only_a_state_with_a_result_needs_no_reason_in_a_table() -> None:
    assert {state for state in TrialState if not state.label} == {TrialState.FINISHED, TrialState.DIVERGED}
