"""Trials of the next look."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from search_spaces.framework.sequential_design import SequentialDesign
from study.analysis.next_look import plan_next_look
from study.analysis.sequential import ClaimProgress
from study.analysis.verdicts import claim_progress
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import make_plan
from tests.study.looked_at_study import HIGH, LOW, MIDDLE, SPACE, MadeLedger

DESIGN = SequentialDesign.between(3, 10)


def whole_plan(folders: Folders, ledger: MadeLedger) -> Plan:
    return make_plan(SPACE, tuple(range(10)), folders, ledger.trials(), design=DESIGN)


def look(folders: Folders, ledger: MadeLedger, num_slots: int = 1, skipped: tuple[str, ...] = ()) -> Plan:
    whole = whole_plan(folders, ledger)
    progress = claim_progress(whole, ledger.records, ledger.artifacts.read_correct)
    return plan_next_look(whole, progress, ledger.records, num_slots=num_slots, skipped=skipped)


def seeds_of(plan: Plan) -> Mapping[float, list[int]]:
    found: dict[float, list[int]] = {}
    for trial in plan.trials:
        found.setdefault(trial.candidate.config.optimizer.lr, []).append(trial.candidate.config.seed)
    return found


def test_the_first_look_has_the_seeds_of_the_study_in_every_cell(folders: Folders) -> None:
    plan = look(folders, MadeLedger())
    assert seeds_of(plan) == {LOW: [0, 1, 2], MIDDLE: [0, 1, 2], HIGH: [0, 1, 2]}
    fixed = make_plan(SPACE, SPACE.seeds, folders, {})
    assert plan.trials == fixed.trials, "the same ones in the same order"
    assert (plan.design, plan.seeds, fixed.design) == (DESIGN, (0, 1, 2), None)


def test_further_seeds_go_only_to_cells_of_claims_without_a_verdict(folders: Folders) -> None:
    ledger, sizes = MadeLedger(), []
    while not (plan := look(folders, ledger)).is_complete:
        sizes.append({rate: len(seeds) for rate, seeds in seeds_of(plan).items()})
        ledger.run([plan])
    assert sizes == [
        {LOW: 3, MIDDLE: 3, HIGH: 3},
        {LOW: 4, MIDDLE: 4, HIGH: 4},
        {LOW: 6, MIDDLE: 6, HIGH: 4},
        {LOW: 10, MIDDLE: 10, HIGH: 4},
    ]
    assert len(ledger.records) == 24 < 30, "seeds saved against 10 in each cell"


@pytest.mark.parametrize(("num_slots", "num_to_run"), [(1, 9), (11, 9), (12, 12), (17, 12), (18, 18), (99, 30)])
def test_free_slots_train_seeds_of_the_look_after_that(folders: Folders, num_slots: int, num_to_run: int) -> None:
    assert len(look(folders, MadeLedger(), num_slots).to_run) == num_to_run


def test_seeds_trained_ahead_change_no_verdict(folders: Folders) -> None:
    ledger, ahead = MadeLedger(), MadeLedger()
    while not (plan := look(folders, ledger)).is_complete:
        ledger.run([plan])
    ahead.run([look(folders, ahead, num_slots=99)])
    found = [claim_progress(look(folders, each), each.records, each.artifacts.read_correct) for each in (ledger, ahead)]
    assert found[0] == found[1]
    assert seeds_of(look(folders, ahead))[HIGH] == [*range(10)], "what has ended is shown"


def test_a_claim_about_a_cell_that_fails_gets_no_seeds(folders: Folders) -> None:
    whole = whole_plan(folders, MadeLedger())
    failed = [trial for trial in whole.trials if trial.candidate.config.optimizer.lr == HIGH][:1]
    ledger = MadeLedger(lambda trial: TrialState.FAILED if trial.identity == failed[0].identity else 0.5)
    ledger.run([look(folders, ledger)])
    again = look(folders, ledger)
    assert failed[0].identity in {trial.identity for trial in again.to_run}, "the next command tries it again"
    skipped = look(folders, ledger, num_slots=99, skipped=(failed[0].identity,))
    assert seeds_of(skipped) == {LOW: [*range(10)], MIDDLE: [*range(10)], HIGH: [1, 2]}


def test_a_claim_that_awaits_no_look_gets_no_seeds(folders: Folders) -> None:
    whole = whole_plan(folders, MadeLedger())
    progress = claim_progress(whole, {}, MadeLedger().artifacts.read_correct)
    ended: list[ClaimProgress] = [replace(each, num_seeds=6, awaits_look=False) for each in progress]
    assert len(plan_next_look(whole, ended, {}, num_slots=99).trials) == 18
