"""Sequential designs of studies, with the round of trials that comes next.

A round trains what the next look awaits: further seeds of the cells of claims without a verdict. As long as all trials
of a round fit on the devices at once, it trains seeds of the look after that ahead, so that no device is idle; the
verdicts do not depend on it. Looks are replayed from the ledger (`study.analysis.sequential`), so that an interrupted
study goes on with the same ones.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from revit.errors import InputError
from search_spaces.framework.sequential_design import SequentialDesign
from search_spaces.framework.space import SearchSpace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from study.analysis.sequential import ClaimProgress
    from study.ledger.ledger import Ledger
    from study.ledger.records import TrialRecord
    from study.plan import Folders, Plan

DEFAULT_MAX_SEEDS = 10


@dataclass(frozen=True, kw_only=True)
class Round:
    """Plan of what the next look of a study awaits, and how far each of its claims has come."""

    plan: "Plan"
    progress: "Sequence[ClaimProgress]"

    def describe(self) -> str:
        """Return a line about the looks so far."""
        num_decided = sum(each.result.verdict != "inconclusive" for each in self.progress)
        left = [each.num_seeds for each in self.progress if each.awaits_look]
        looks = " and ".join(map(str, sorted(set(left))))
        following = f"; {len(left)} left, next look at {looks} seeds" if left else ""
        return f"{self.plan.space.name}: {num_decided} of {len(self.progress)} claims decided{following}"


def find_design(space: SearchSpace, ledger: "Ledger") -> SequentialDesign | None:
    """Return the design that the first launch of a study with one has registered; None for none.

    It is read from the launch's record, whose digest `verify` checks; from its tags only where the record is lost.
    """
    launch, tags = ledger.launches.decision_rule(space.tags)
    if not tags:
        return None
    from study.registration.record import Registration

    try:
        return SequentialDesign.from_text(Registration.from_json(ledger.registrations.text_of(launch)).design)
    except ValueError:
        return SequentialDesign.from_text(tags)


def find_obstacles(space: SearchSpace) -> list[str]:
    """Return a line for each claim of a study that no number of seeds can decide."""
    from study.analysis.sequential import find_obstacle
    from study.analysis.verdicts import stated_claims, stated_point

    trained_axes = space.trained_values.keys()
    points = [stated_point(each, trained_axes) for each in space.candidates(space.seeds[:1])]
    found = [find_obstacle(each, points, comparable=space.scale == "paper") for each in stated_claims(space)]
    reasons = zip(space.claims, found, strict=True)
    return [f"{space.name}: cannot be decided: {claim}: {reason}" for claim, reason in reasons if reason]


def choose_design(space: SearchSpace, ledger: "Ledger | None", max_seeds: int | None) -> SequentialDesign:
    """Return the registered design of a study, or a new one with at most so many seeds.

    Raises:
        InputError: no seeds are left to add, or another design is registered.
    """
    registered = None if ledger is None else find_design(space, ledger)
    if registered is not None and max_seeds in (None, registered.largest):
        return registered
    design = SequentialDesign.between(len(space.seeds), DEFAULT_MAX_SEEDS if max_seeds is None else max_seeds)
    if registered is not None:
        raise InputError(
            f"--max-seeds = {max_seeds}: {space.name} has a registered design of up to {registered.largest} seeds, "
            "which looks at its results must not change"
        )
    return design


def plan_round(
    space: SearchSpace,
    folders: "Folders",
    records: "Mapping[str, TrialRecord]",
    ledger: "Ledger | None",
    design: SequentialDesign,
    *,
    for_report: bool = False,
    skipped: Collection[str] = (),
    num_slots: int = 1,
) -> Round:
    """Return the next round of a study.

    Args:
        ledger: None where there are no records.
        for_report: trials are planned from their records if their images or weights are missing.
        skipped: identities of trials that have failed (`plan_next_look`).
        num_slots: trials that run at a time.
    """
    from study.analysis.measured import measure, measure_for_claims
    from study.analysis.next_look import plan_next_look
    from study.analysis.verdicts import claim_progress
    from study.planning import make_plan

    seeds = tuple(range(design.largest))
    whole = make_plan(space, seeds, folders, records, for_report=for_report, design=design)
    measured, read_correct, by_metric = whole, _read_nothing, {}
    if ledger is not None:
        measured, read_correct = measure(whole, ledger.artifacts.read_predictions), ledger.artifacts.read_correct
        by_metric = measure_for_claims(whole, ledger.artifacts.read_predictions)
    progress = claim_progress(measured, records, read_correct, by_metric)
    plan = plan_next_look(whole, progress, records, skipped=skipped, num_slots=num_slots)
    return Round(plan=plan, progress=progress)


def plan_all_rounds(
    studies: "Sequence[tuple[SearchSpace, Plan | None, Sequence[str]]]",
    folders: "Folders",
    records: "Mapping[str, TrialRecord]",
    ledger: "Ledger | None",
    designs: Mapping[str, SequentialDesign],
) -> "tuple[list[tuple[SearchSpace, Plan | None, Sequence[str]]], list[str]]":
    """Return studies with plans as if no further claim were decided, and lines on the seeds to expect of each claim.

    Args:
        studies: as `forecast_studies` takes them.
        designs: by study; one without is returned as it is.
    """
    whole: list[tuple[SearchSpace, Plan | None, Sequence[str]]] = []
    lines = []
    for space, plan, missing in studies:
        design = designs.get(space.name)
        if plan is None or design is None:
            whole.append((space, plan, missing))
            continue
        last = plan_round(space, folders, records, ledger, design, num_slots=sys.maxsize)
        whole.append((space, last.plan, missing))
        lines += [f"{space.name}: {design}", *(line for each in last.progress if (line := _describe_claim(each)))]
    return whole, lines


def _describe_claim(progress: "ClaimProgress") -> str:
    """Return what a claim without a verdict may need; empty for others."""
    if not progress.awaits_look:
        return ""
    result = progress.result
    if result.power is None or result.expected_seeds is None:
        return f"  {progress.claim}: seeds unknown before the look at {progress.num_seeds}"
    return (
        f"  {progress.claim}: {result.expected_seeds:.1f} seeds expected, at the observed effect; "
        f"decided with probability {100 * result.power:.0f} %"
    )


def _read_nothing(run_ids: "Collection[str]", split: str) -> "dict[str, npt.NDArray[np.bool_]]":
    raise AssertionError(f"there is no ledger with {run_ids}, {split}")
