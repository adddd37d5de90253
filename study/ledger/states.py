"""States of a trial."""

from enum import StrEnum


class TrialState(StrEnum):
    """State of a trial. A launch ends as one of FINISHED, FAILED, INTERRUPTED."""

    NEW = "new"
    RUNNING = "running"
    FINISHED = "finished"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def is_terminal(self) -> bool:
        """True if it is not trained again: it reached its last step, diverged, or was pruned."""
        return self in (TrialState.FINISHED, TrialState.PRUNED, TrialState.DIVERGED)

    @property
    def mlflow_status(self) -> str:
        """Status of a run in this state. A new trial has no run: it would be scheduled."""
        return _MLFLOW_STATUS[self]

    @property
    def label(self) -> str:
        """Reason in a table why a trial in this state has no result. Empty where it has one: to diverge is a result."""
        return _LABEL[self]


_MLFLOW_STATUS = {
    TrialState.NEW: "SCHEDULED",
    TrialState.RUNNING: "RUNNING",
    TrialState.FINISHED: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.DIVERGED: "FAILED",
    TrialState.FAILED: "FAILED",
    TrialState.INTERRUPTED: "KILLED",
}
_LABEL = {
    TrialState.NEW: "not run",
    TrialState.RUNNING: "still running",
    TrialState.FINISHED: "",
    TrialState.PRUNED: "pruned",
    TrialState.DIVERGED: "",
    TrialState.FAILED: "failed",
    TrialState.INTERRUPTED: "stopped early",
}
