"""Rounds of a study until its claims are decided, without training."""

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study import api
from study.api import rounds
from study.api.designs import find_design
from study.execution.resources import ResourceRequest
from study.ledger.states import TrialState
from study.plan import Folders
from study.trial import Trial
from tests.study.looked_at_study import HIGH, LOW, SPACE, MadeLedger, accuracy_of, better
from tests.study.made_plans import Result, space_of

Run = Callable[..., tuple[Any, MadeLedger, str]]


@pytest.fixture
def run(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run studies on a made-up ledger; return what `run_until_decided` does, the ledger, the lines."""

    def run(ledger: MadeLedger, *spaces: SearchSpace, max_seeds: int | None = None) -> tuple[Any, MadeLedger, str]:
        def prepare(*_: Any, designs: Any, **__: Any) -> Any:
            plans = [
                rounds.plan_study(space, folders, ledger.trials(), ledger=ledger, design=designs.get(space.name))  # type: ignore[arg-type]  # the parts of a ledger that it reads
                for space in spaces
            ]
            return plans, ledger, ledger.trials()

        monkeypatch.setattr(rounds, "prepare_run", prepare)
        monkeypatch.setattr(rounds, "run_plans", ledger.run)
        monkeypatch.setattr(rounds, "open_ledger", lambda _: ledger)
        console = Console(file=StringIO(), width=200)
        designs = rounds.choose_designs(spaces, folders, max_seeds)
        returned = rounds.run_until_decided(spaces, folders, ResourceRequest(), designs, console=console)
        return returned, ledger, console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO

    return run


def test_rounds_end_when_every_claim_is_decided_or_had_its_last_look(run: Run) -> None:
    ([plan], *_, result), ledger, lines = run(MadeLedger(), SPACE)
    assert [len(launch) for launch in ledger.launches_run] == [9, 3, 4, 8]
    assert plan.is_complete
    assert len(result.states) == 24
    assert lines.splitlines() == [
        "example: looks at 3, 4, 6, 10 seeds, at levels of 0.45, 0.35, 1, 3.2 %",
        "example: 0 of 2 claims decided; 2 left, next look at 4 seeds",
        "example: 1 of 2 claims decided; 1 left, next look at 6 seeds",
        "example: 1 of 2 claims decided; 1 left, next look at 10 seeds",
        "example: 1 of 2 claims decided",
    ]


def test_free_slots_make_fewer_rounds_and_the_same_verdicts(run: Run) -> None:
    _, ledger, lines = run(MadeLedger(num_slots=8), SPACE)
    assert [len(launch) for launch in ledger.launches_run] == [9, 3, 4, 8]
    _, ledger, lines = run(MadeLedger(num_slots=12), SPACE)
    assert [len(launch) for launch in ledger.launches_run] == [9, 9, 8]
    assert lines.splitlines()[-1] == "example: 1 of 2 claims decided"


def test_a_trial_that_fails_is_tried_once_and_ends_its_claims(run: Run) -> None:
    def result(trial: Trial) -> Result:
        return TrialState.FAILED if trial.candidate.config.optimizer.lr == HIGH else accuracy_of(trial)

    ([plan], *_, found), ledger, _ = run(MadeLedger(result), SPACE)
    tried = [trial.identity for launch in ledger.launches_run for trial in launch]
    assert len(tried) == len(set(tried)) == 3 + 2 * 10
    assert len(found.messages) == 3
    assert not plan.is_complete, "the next command tries them again"


def test_a_cell_that_diverges_ends_its_claims(run: Run) -> None:
    def result(trial: Trial) -> Result:
        return TrialState.DIVERGED if trial.candidate.config.optimizer.lr == HIGH else accuracy_of(trial)

    ([plan], *_), ledger, _ = run(MadeLedger(result), SPACE)
    assert sum(len(launch) for launch in ledger.launches_run) == 3 + 2 * 10
    assert plan.is_complete


def test_an_interrupted_study_goes_on_with_the_same_looks(run: Run) -> None:
    _, whole, _ = run(MadeLedger(), SPACE)
    ledger = MadeLedger()
    ledger.rules = whole.rules
    ledger.records = dict([*whole.records.items()][:14])
    (_, _, records, _), _, lines = run(ledger, SPACE)
    assert records.keys() == whole.records.keys()
    assert "before this design was registered" not in lines


def test_trials_that_ended_before_the_design_are_named(run: Run) -> None:
    ledger = MadeLedger()
    ledger.records = dict([*run(MadeLedger(), SPACE)[1].records.items()][:5])
    assert "example: 5 of its trials ended before this design was registered" in run(ledger, SPACE)[2]


def test_a_study_without_claims_keeps_its_seeds(run: Run) -> None:
    plain = space_of(name="plain")
    (plans, *_), _, lines = run(MadeLedger(), SPACE, plain)
    assert "plain: no claim can be decided: it is trained with its own seeds" in lines
    assert plans[1].design is None
    assert plans[1].is_complete
    with pytest.raises(InputError, match="--until-decided: no claim can be decided: plain: it has no claims"):
        run(MadeLedger(), plain)


def test_a_round_that_changes_nothing_is_the_last(run: Run) -> None:
    """As where another launch trains its trials, and has not ended them."""
    _, ledger, _ = run(MadeLedger(lambda _: TrialState.INTERRUPTED), SPACE)
    assert len(ledger.launches_run) == 1


def test_a_study_is_trained_until_it_is_decided(ray_cluster: None, one_slot: None, folders: Folders) -> None:
    """On Ray, with a ledger: each round is a launch, and a report finds the design that the first has registered."""
    base = FineTuneConfig(dataset="digits", resolution=8, batch_size=16, steps=4, num_evals=1)
    scientific, claims = {"optimizer.lr": (LOW, HIGH)}, (better(HIGH, LOW),)
    space = replace(SPACE, base=base, scientific=scientific, seeds=(0, 1), claims=claims)
    designs = rounds.choose_designs([space], folders, 3)
    assert designs["example"].looks == (2, 3)
    plans, ledger, records, result = rounds.run_until_decided([space], folders, ResourceRequest(), designs)
    assert set(result.states.values()) == {TrialState.FINISHED}
    assert len(records) in (4, 6), "decided at one of the looks"
    assert find_design(space, ledger) == designs["example"]
    planned = api.plan_study(space, folders, records, ledger=ledger, for_report=True)
    assert planned.is_complete
    assert [trial.identity for trial in planned.trials] == [trial.identity for trial in plans[0].trials]
    [verdict] = api.claim_verdicts(planned, ledger, records)
    assert "corrected for the looks" in verdict.ours.caveats
