"""What is to be known beside a study's results, a line each."""

from collections import defaultdict
from itertools import combinations

from search_spaces.framework.claims import Value
from study.analysis.mixed_environments import environment_notes
from study.labels import trial_label
from study.plan import Plan
from study.report.terminal_tables import notes as notes_of_space

MAX_NAMED = 3
"""Trials that a line names."""


def notes(plan: Plan) -> list[str]:
    """Return what a reader of its results should know: scale, datasets, what is one, stale, or ran on what."""
    about = [*notes_of_space(plan.space), *plan.caveats, *tuned_notes(plan)]
    return [*about, *shared_notes(plan), *stale_notes(plan), *environment_notes(plan)]


def tuned_notes(plan: Plan) -> list[str]:
    """Return for each nuisance axis the values that it was tuned over."""
    values = {
        axis: dict.fromkeys(trial.candidate.nuisance[axis] for trial in plan.trials)
        for axis in plan.space.nuisance_axes
    }
    return [
        f"{axis} is tuned in each cell: of {', '.join(map(str, found))} the one with the best mean validation accuracy"
        for axis, found in values.items()
    ]


def shared_notes(plan: Plan) -> list[str]:
    """Return of each two values of an axis how many of their trials are the same, where any are."""
    lines = []
    for axis in (*plan.space.scientific, *plan.space.nuisance_axes):
        by_value: dict[Value, dict[object, str]] = {}
        for trial in plan.trials:
            point = dict(trial.candidate.point)
            value = point.pop(axis)
            by_value.setdefault(value, {})[*point.values(), trial.candidate.config.seed] = trial.identity
        for (one, ours), (other, theirs) in combinations(by_value.items(), 2):
            both = ours.keys() & theirs.keys()
            same = sum(ours[place] == theirs[place] for place in both)
            if same:
                lines.append(
                    f"{axis} {one} and {other}: {same} of {len(both)} trials are the same, and are trained once"
                )
    return lines


def stale_notes(plan: Plan) -> list[str]:
    """Return for each reason how many trials are stale, and which."""
    by_reason = defaultdict(list)
    for trial in plan.trials:
        if trial.is_stale:
            by_reason[trial.staleness_reason].append(trial_label(trial))
    return [
        f"stale: {len(labels)} of {len(plan.trials)} trials were done before; since then {reason} ({_named(labels)})"
        for reason, labels in by_reason.items()
    ]


def _named(labels: list[str]) -> str:
    more = [f"{len(labels) - MAX_NAMED} more"] if len(labels) > MAX_NAMED else []
    return "; ".join([*labels[:MAX_NAMED], *more])
