"""Caveats shown beside a study's results, a line each."""

from collections import Counter
from itertools import combinations

from revit.datasets.registry import DATASETS
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.scales import SCALES
from search_spaces.framework.space import SearchSpace
from study.analysis.mixed_environments import environment_caveats
from study.labels import format_value
from study.plan import Plan
from study.report.searches import edge_caveats, tuning_caveats


def plan_caveats(plan: Plan) -> list[str]:
    """Return every caveat of a study: of scale, design, data, tuning, duplicates, stale trials, mixed environments."""
    given = [*space_caveats(plan.space), *design_caveats(plan), *plan.caveats]
    inputs = [*given, *tuning_caveats(plan), *edge_caveats(plan)]
    return [*inputs, *duplicate_caveats(plan), *stale_caveats(plan), *environment_caveats(plan)]


def design_caveats(plan: Plan) -> list[str]:
    """Return a line on a study's sequential design; none for a fixed number of seeds."""
    if plan.design is None:
        return []
    corrected = "verdicts, intervals and p values of claims and effects are corrected for the looks"
    return [f"sequential design: {plan.design}; {corrected}; intervals of cells are not"]


def space_caveats(space: SearchSpace) -> list[str]:
    """Return what is set over a space, its scale's note, and a line for each dataset that is a proxy for another."""
    changed = [f"{path} = {value}" for path, value in space.settings.items() if value is not None]
    settings = [f"set in every trial, over the study's own values: {', '.join(changed)}"] if changed else []
    if not space.caveat:
        return settings
    proxies: dict[str, str] = {}
    for candidate in space.candidates(space.seeds[:1]) if "dataset" not in space.settings else ():
        original = space.paper_config(candidate.requested_values)
        proxies.setdefault(original.dataset, candidate.config.dataset)
        proxies |= {name: SCALES[space.scale].test_set(name, space.proxies) for name in original.test_sets}
    lines = [
        f"{proxy} is a proxy for {original}: {DATASETS[proxy].title}; {DATASETS[proxy].source}"
        for original, proxy in proxies.items()
        if proxy != original
    ]
    return [*settings, space.caveat, *lines]


def duplicate_caveats(plan: Plan) -> list[str]:
    """Return a line for each two values of an axis that have tested trials in common."""
    lines = []
    known = [trial for trial in plan.trials if not trial.awaits]
    for axis in plan.space.scientific:
        by_value: dict[Value, dict[object, str]] = {}
        for trial in known:
            cell = dict(trial.candidate.cell)
            value = cell.pop(axis)
            by_value.setdefault(value, {})[*cell.values(), trial.candidate.config.seed] = trial.identity
        for (one, ours), (other, theirs) in combinations(by_value.items(), 2):
            both = ours.keys() & theirs.keys()
            num_same = sum(ours[key] == theirs[key] for key in both)
            if num_same:
                pair = f"{axis} {format_value(one)} and {format_value(other)}"
                lines.append(f"{pair}: {num_same} of {len(both)} trials are identical, trained once")
    return lines


def stale_caveats(plan: Plan) -> list[str]:
    """Return a line for each reason for which trials are stale."""
    counts = Counter(trial.staleness_reason for trial in plan.trials if trial.is_stale)
    return [
        f"stale: {count} of {len(plan.trials)} trials have results of an earlier setup: {reason}; plan lists them"
        for reason, count in counts.items()
    ]
