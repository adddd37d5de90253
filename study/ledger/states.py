"""States of a trial."""

from enum import StrEnum


class TrialState(StrEnum):
    """State of a trial. A launch ends as one of FINISHED, FAILED, INTERRUPTED.

    Attributes:
        mlflow_status: status of a run in this state; a new trial has no run: it would be scheduled.
        label: reason in a table why a trial has no result; empty where it has one: to diverge is a result.
    """

    mlflow_status: str
    label: str

    NEW = "new", "SCHEDULED", "not run"
    RUNNING = "running", "RUNNING", "still running"
    FINISHED = "finished", "FINISHED"
    PRUNED = "pruned", "KILLED", "pruned"
    DIVERGED = "diverged", "FAILED"
    FAILED = "failed", "FAILED", "failed"
    INTERRUPTED = "interrupted", "KILLED", "stopped early"

    def __new__(cls, value: str, mlflow_status: str = "", label: str = "") -> "TrialState":
        """Make a state with its attributes."""
        state = str.__new__(cls, value)
        state._value_, state.mlflow_status, state.label = value, mlflow_status, label
        return state

    @property
    def is_terminal(self) -> bool:
        """True if it is not trained again: it reached its last step, diverged, or was pruned."""
        return self in (TrialState.FINISHED, TrialState.PRUNED, TrialState.DIVERGED)
