"""Designs of studies, registered or new."""

from dataclasses import replace

import pytest

from revit.errors import InputError
from search_spaces.framework.claims import Matches
from search_spaces.framework.sequential_design import SequentialDesign
from study import api
from study.api.designs import choose_design, find_design, find_obstacles, plan_round
from study.plan import Folders
from study.registration.record import make_registration
from tests.study.looked_at_study import SPACE, MadeLedger, better


def test_a_new_design_begins_with_the_seeds_of_the_study() -> None:
    assert choose_design(SPACE, None, None).looks == (3, 4, 6, 10)
    assert choose_design(SPACE, None, 5).looks == (3, 4, 5)
    with pytest.raises(InputError, match="--max-seeds = 3: must be above the 3 seeds of the first look"):
        choose_design(SPACE, None, 3)


def test_a_registered_design_is_kept() -> None:
    ledger, registered = MadeLedger(), SequentialDesign(looks=(2, 5), spending="pocock")
    ledger.rules["example"] = {"family": "all claims", **registered.to_text()}
    assert find_design(SPACE, ledger) == registered  # type: ignore[arg-type]  # what it reads of a ledger
    for max_seeds in (None, 5):
        assert choose_design(SPACE, ledger, max_seeds) == registered  # type: ignore[arg-type]  # the parts of a ledger that it reads
    with pytest.raises(InputError, match="example has a registered design of up to 5 seeds"):
        choose_design(SPACE, ledger, 10)  # type: ignore[arg-type]  # the parts of a ledger that it reads


def test_the_registered_record_is_what_counts(folders: Folders) -> None:
    """Somebody may have changed the tags of a launch; `verify` finds changes of its record."""
    ledger, registered = MadeLedger(), SequentialDesign.between(3, 10)
    plan = plan_round(SPACE, folders, {}, None, registered).plan
    record = make_registration(plan, {}, user="", created_ms=1, previous="")
    assert record.seeds == [0, 1, 2]
    ledger.rules["example"] = SequentialDesign.between(3, 1000).to_text()
    assert find_design(SPACE, ledger) == SequentialDesign.between(3, 1000)  # type: ignore[arg-type]  # the parts of a ledger that it reads
    ledger.texts["launch"] = record.to_json()
    assert find_design(SPACE, ledger) == registered  # type: ignore[arg-type]  # the parts of a ledger that it reads


def test_claims_that_nothing_can_decide_are_named() -> None:
    published = Matches(axis="optimizer.lr", published={0.1: 90.0}, margin=1, quote="")
    space = replace(SPACE, claims=(*SPACE.claims, published), scale="nano", base=None, fixed={"dataset": "digits"})
    assert find_obstacles(SPACE) == []
    [line] = find_obstacles(space)
    assert line.startswith("example: cannot be decided: accuracy of lr 0.1 is as published, 90")
    assert line.endswith("published accuracies are not of this scale")
    limited = replace(SPACE, cells={"optimizer.lr": (0.1, 0.2)}, claims=(better(0.3, 0.1),))
    assert find_obstacles(limited)[0].endswith("the study lacks one of its cells: no result for optimizer.lr 0.3")


def test_every_command_follows_a_registered_design(folders: Folders) -> None:
    ledger = MadeLedger()
    design = SequentialDesign.between(3, 10)
    ledger.run([plan_round(SPACE, folders, {}, None, design).plan])
    planned = api.plan_study(SPACE, folders, ledger.trials(), ledger=ledger)  # type: ignore[arg-type]  # the parts of a ledger that it reads
    assert (planned.design, len(planned.trials), len(planned.to_run)) == (design, 12, 3)
    fixed = api.plan_study(SPACE, folders, ledger.trials(), num_seeds=3, ledger=ledger)  # type: ignore[arg-type]  # the parts of a ledger that it reads
    assert (fixed.design, len(fixed.trials), fixed.is_complete) == (design, 9, True), "its verdicts are of the looks"
    unregistered = api.plan_study(SPACE, folders, ledger.trials(), ledger=MadeLedger())  # type: ignore[arg-type]  # the parts of a ledger that it reads
    assert (unregistered.design, len(unregistered.trials)) == (None, 9)
