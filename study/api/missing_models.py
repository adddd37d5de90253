"""Models that studies keep, of trials that finished before they were kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from study.ledger.ledger import Ledger
    from study.ledger.records import TrialRecord
    from study.plan import Plan


def describe_missing_models(planned: "Plan", ledger: "Ledger") -> list[str]:
    """Return a line on the models that a study keeps and the ledger lacks; none where it has all."""
    from study.kept_models import find_missing_models

    num_missing = len(find_missing_models(planned, ledger))
    if not num_missing:
        return []
    name, choice = planned.space.name, planned.space.keep_models
    return [
        f"{name}: missing models: {num_missing}, of trials that finished before keep_models = {choice!r}; "
        f"`run {name} --missing-models` trains these again"
    ]


def reopen_trials(
    plans: "Sequence[Plan]",
    ledger: "Ledger",
    records: "Mapping[str, TrialRecord]",
    check: "Callable[[Sequence[Plan]], None]",
) -> "list[Plan]":
    """Let the finished trials whose models are missing be trained again from their start, each in its own run.

    Until they have ended again, they have no results.

    Args:
        records: from which the plans were made.
        check: called with the plans in which they are to be run, before anything is changed.

    Returns:
        These plans.
    """
    from study.kept_models import find_missing_models
    from study.ledger.states import TrialState

    missing = {trial.identity for planned in plans for trial in find_missing_models(planned, ledger)}
    interrupted = {name: replace(records[name], state=TrialState.INTERRUPTED) for name in missing}
    reopened = [planned.with_records({**records, **interrupted}) for planned in plans]
    check(reopened)
    for name in missing:
        ledger.runs.interrupt(records[name].run_id)
    return reopened
