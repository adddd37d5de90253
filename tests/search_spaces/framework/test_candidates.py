"""Candidates: axes as trained, points without effect."""

import pytest

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.candidates import Candidate, check_effects, make_candidate
from search_spaces.framework.cells import StudyCell
from search_spaces.framework.claim_cells import Value

BASE = FineTuneConfig(dataset="digits", steps=10)


def candidate_of(**values: Value) -> Candidate:
    config = BASE.with_values({path.replace("__", "."): value for path, value in values.items()})
    nuisance = {"optimizer.momentum": config.optimizer.momentum}
    return Candidate(cell={"pace": "slow"}, nuisance=nuisance, requested_values={}, config=config)


def test_a_candidate_has_its_axes_as_trained_and_named_levels_by_their_names() -> None:
    cell = StudyCell(values={"pace": "slow", "resolution": 384}, fields={}, axes={})
    config = BASE.with_values({"resolution": 48, "optimizer.lr": 0.3})
    made = make_candidate(cell, {"optimizer.lr": 0.03}, config)
    assert made.cell == {"pace": "slow", "resolution": 48}
    assert made.nuisance == {"optimizer.lr": 0.3}
    assert made.requested_values == {"pace": "slow", "resolution": 384}
    assert made.point == {"pace": "slow", "resolution": 48, "optimizer.lr": 0.3}


def test_two_values_without_effect_are_refused_with_advice() -> None:
    check_effects([candidate_of(optimizer__momentum=0.5), candidate_of(optimizer__momentum=0.9)])
    adam = [candidate_of(optimizer__name="adam", optimizer__momentum=value) for value in (0.5, 0.9)]
    with pytest.raises(InputError) as raised:
        check_effects(adam)
    assert str(raised.value) == (
        "optimizer.momentum 0.5 and 0.9 would train the same at pace slow, optimizer.momentum 0.9: "
        "leave one out by `constraint`, or give its Range a `when`"
    )
    budgets = [candidate_of(num_evals=value) for value in (1, 2)]
    with pytest.raises(InputError, match=r"leave one out by `constraint`$"):
        check_effects(budgets)
