"""Trials that the next look of a study awaits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis.sequential import ClaimProgress, covers, num_seeds_of
from study.analysis.verdicts import stated_point
from study.ledger.records import TrialRecord
from study.plan import Plan
from study.planning import Planner
from study.trial import Trial

Place = tuple[tuple[object, ...], int]
"""Cell and seed of a tested trial."""


def plan_next_look(
    whole: Plan,
    progress: Sequence[ClaimProgress],
    records: Mapping[str, TrialRecord],
    *,
    skipped: Collection[str] = (),
    num_slots: int = 1,
) -> Plan:
    """Return the plan with the trials of all looks so far, with those that the next look awaits, and no others.

    As long as the trials that are to be run do not fill all slots, seeds of the look after that are added. Trials that
    have ended stay in the plan.

    Args:
        whole: with the largest number of seeds in every cell.
        records: of the ledger, by identity.
        skipped: identities of trials that have failed: no claim about their cells is pursued.
        num_slots: trials that run at a time.
    """
    design = whole.design
    assert design is not None, "a plan with a fixed number of seeds has one look"
    places = {_place(trial): trial for trial in whole.trials}
    left_out = {place for place, trial in places.items() if trial.identity in skipped}
    ended = {place for place, trial in places.items() if trial.state.is_terminal and not trial.awaits}
    trained_axes = whole.space.trained_values.keys()
    points = {cell: stated_point(trial.candidate, trained_axes) for (cell, _), trial in places.items()}

    def plan_for(claims: Sequence[ClaimProgress]) -> Plan:
        needed = {cell: num_seeds_of(point, claims, design) for cell, point in points.items()}
        kept = {(cell, seed) for cell, seed in places if seed < needed[cell]} | ended
        return _with_trials(whole, kept - left_out, design).plan(records)

    plan, claims = plan_for(progress), progress
    failed = [points[cell] for cell, _ in left_out]
    pursued = [each.awaits_look and not any(covers(each.claim, point) for point in failed) for each in progress]
    while plan.to_run and any(
        is_pursued and each.num_seeds < design.largest for each, is_pursued in zip(claims, pursued, strict=True)
    ):
        claims = [_advance(each, design) if ok else each for each, ok in zip(claims, pursued, strict=True)]
        larger = plan_for(claims)
        if len(larger.to_run) > num_slots:
            break
        plan = larger
    return plan


def _with_trials(whole: Plan, kept: Collection[Place], design: SequentialDesign) -> Planner:
    """Return the planner of a plan that makes some of its tested trials only."""
    assert whole.planner is not None, "it was made from a space"
    seeds = range(design.largest)

    def seeds_of(values: Mapping[str, object]) -> tuple[int, ...]:
        return tuple(seed for seed in seeds if (_key(values), seed) in kept)

    return whole.planner.with_seeds_of(seeds_of, tuple(seeds[: design.smallest]))


def _advance(progress: ClaimProgress, design: SequentialDesign) -> ClaimProgress:
    """Return the progress of a claim that awaits the look after its next one, too."""
    return replace(progress, num_seeds=design.next_look(progress.num_seeds) or progress.num_seeds)


def _place(trial: Trial) -> Place:
    return _key(trial.candidate.requested_values), trial.candidate.config.seed


def _key(values: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(values.items())
