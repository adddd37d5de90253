"""Pruning of running trials, as soon as they report a validation."""

from typing import Any

from study.ledger.schema import TRAIN_TIME_S
from study.ledger.states import TrialState
from study.search.pruners import CurvePruner


class LivePruning:
    """The running trials of searches that prune, each with the pruner of its cell. Others are never pruned."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[CurvePruner, int]] = {}

    def begin(self, identity: str, pruner: CurvePruner, number: int) -> None:
        """Compare a trial with others of its cell from now on. It can be repeated where a trial resumes.

        Args:
            number: of its point.
        """
        self._running[identity] = pruner, number

    def __contains__(self, identity: str) -> bool:
        return identity in self._running

    def prune(self, result: dict[str, Any]) -> bool:
        """Return whether a trial is pruned after this report; then add its end to the report, as a worker would.

        Repeated rows of a trial that resumes have the decision of the first time. A trial past its last step is not
        pruned: its report has no `train_time_s`.
        """
        identity = result.get("identity", "")
        if identity not in self._running or "rows" not in result:
            return False
        pruner, number = self._running[identity]
        validations = [(int(row["step"]), row[pruner.metric]) for row in result["rows"] if pruner.metric in row]
        decisions = [pruner.report(number, step, value) for step, value in validations]
        if TRAIN_TIME_S not in result or not any(decisions[-1:]):
            return False
        step, value = validations[-1]
        message = f"pruned after step {step}: {pruner.describe(value)}"
        result.update(state=TrialState.PRUNED, message=message)
        result["rows"].append({"step": result["rows"][-1]["step"], TRAIN_TIME_S: result[TRAIN_TIME_S]})
        return True

    def end(self, identity: str, state: TrialState) -> None:
        """Take over the end of a trial."""
        if identity in self._running:
            pruner, number = self._running.pop(identity)
            pruner.end(number, state)
