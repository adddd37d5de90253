"""Rounds of studies whose seeds are added until their claims are decided."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from revit.errors import InputError
from search_spaces.framework.sequential_design import SequentialDesign
from search_spaces.framework.space import SearchSpace
from study.api.commands import console_with_log, plan_study, run_plans
from study.api.designs import choose_design, find_design, find_obstacles, plan_round
from study.api.launch_preparation import prepare_run
from study.api.opening import open_ledger
from study.execution.resources import ResourceRequest
from study.ledger.states import TrialState

if TYPE_CHECKING:
    from rich.console import Console

    from study.execution.recorder import RunResult
    from study.ledger.ledger import Ledger
    from study.ledger.records import TrialRecord
    from study.plan import Folders, Plan


def choose_designs(
    spaces: Sequence[SearchSpace], folders: "Folders", max_seeds: int | None
) -> dict[str, SequentialDesign]:
    """Return the sequential design of each study with a claim that can be decided: the registered one, or a new one.

    Raises:
        InputError: no study has such a claim, no seeds are left to add, or another design is registered.
    """
    decidable = [space for space in spaces if len(find_obstacles(space)) < len(space.claims)]
    if not decidable:
        lines = find_obstacles(spaces[0]) or [f"{spaces[0].name}: it has no claims"]
        raise InputError(f"--until-decided: no claim can be decided: {lines[0]}")
    ledger = open_ledger(folders) if folders.has_store else None
    return {space.name: choose_design(space, ledger, max_seeds) for space in decidable}


def run_until_decided(
    spaces: Sequence[SearchSpace],
    folders: "Folders",
    request: ResourceRequest,
    designs: Mapping[str, SequentialDesign],
    *,
    strict_environment: bool = False,
    console: "Console | None" = None,
    command: str = "",
) -> "tuple[list[Plan], Ledger, Mapping[str, TrialRecord], RunResult]":
    """Train studies in rounds, until each claim is decided or had its last look.

    A trial that fails is not tried again, and no claim about its cell gets further seeds, until the next command. A
    study without a design is trained with its own seeds.

    Returns:
        The plans of what is left, the ledger, its trials, and the result of all rounds.

    Raises:
        InputError: as `prepare_run`.
    """
    _, log = console_with_log(console)
    plans, ledger, records = prepare_run(
        spaces, folders, request, strict_environment=strict_environment, designs=designs
    )
    for space in spaces:
        for line in _describe_design(space, designs.get(space.name), ledger, records):
            log(line)
    results: list[RunResult] = []
    failed: set[str] = set()
    while True:
        before = _identities(plans)
        result = run_plans(plans, ledger, request, console=console, command=command)
        results.append(result)
        failed |= {name for name, state in result.states.items() if state == TrialState.FAILED}
        records = ledger.retry(ledger.trials, log=log)
        rounds = [
            plan_round(space, folders, records, ledger, design, skipped=failed, num_slots=result.num_slots)
            for space in spaces
            if (design := designs.get(space.name)) is not None
        ]
        for each in rounds:
            log(each.describe())
        plans = [each.plan for each in rounds]
        if result.interrupted or result.stop_reason or _identities(plans) in (set(), before):
            break
    plans = [plan_study(space, folders, records, ledger=ledger, design=designs.get(space.name)) for space in spaces]
    return plans, ledger, records, _merge(results)


def _identities(plans: "Sequence[Plan]") -> set[str]:
    return {trial.identity for plan in plans for trial in plan.to_run}


def _describe_design(
    space: SearchSpace, design: SequentialDesign | None, ledger: "Ledger", records: "Mapping[str, TrialRecord]"
) -> list[str]:
    """Return lines on what a study's looks will be."""
    if design is None:
        return [f"{space.name}: no claim can be decided: it is trained with its own seeds"]
    lines = [f"{space.name}: {design}", *find_obstacles(space)]
    num_seen = sum(each.state.is_terminal and space.name in each.studies for each in records.values())
    if num_seen and find_design(space, ledger) is None:
        lines.append(
            f"{space.name}: {num_seen} of its trials ended before this design was registered: a verdict that was "
            "read from them is a look that the design does not count"
        )
    return lines


def _merge(results: "Sequence[RunResult]") -> "RunResult":
    """Return the result of all rounds: of each trial the last state."""
    states = {name: state for result in results for name, state in result.states.items()}
    messages = {name: text for result in results for name, text in result.messages.items()}
    return replace(results[-1], states=states, messages=messages)
