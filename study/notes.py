"""What is to be known beside a study's results, a line each."""

from collections import defaultdict

from study.environment import environment_notes
from study.labels import trial_label
from study.plan import Plan
from study.tables import notes as notes_of_space

MAX_NAMED = 3
"""Trials that a line names."""


def notes(plan: Plan) -> list[str]:
    """Return what a reader of its results should know: scale, datasets, what is stale, what ran on what."""
    return [*notes_of_space(plan.space), *plan.remarks, *stale_notes(plan), *environment_notes(plan)]


def stale_notes(plan: Plan) -> list[str]:
    """Return for each reason how many trials are stale, and which."""
    by_reason = defaultdict(list)
    for trial in plan.trials:
        if trial.is_stale:
            by_reason[trial.changed].append(trial_label(trial))
    return [
        f"stale: {len(labels)} of {len(plan.trials)} trials were done before; since then {reason} ({_named(labels)})"
        for reason, labels in by_reason.items()
    ]


def _named(labels: list[str]) -> str:
    more = [f"{len(labels) - MAX_NAMED} more"] if len(labels) > MAX_NAMED else []
    return "; ".join([*labels[:MAX_NAMED], *more])
