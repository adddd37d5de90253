"""Histories of studies, honest or not: each deviation is found, and nothing else is called one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from search_spaces.framework.sequential_design import SequentialDesign
from search_spaces.framework.space import SearchSpace
from study.registration.deviations import NEVER, RegistrationReport
from tests.study.registration.made_study import FASTER, LARGE, RISING, SPACE, WIDE, MadeStudy, with_claims
from tests.study.registration.written_study import WrittenStudy

Act = Callable[[MadeStudy], object]
BEFORE = ("registered before all 8 trials", "registered before all 8 trials", "registered before all 4 trials")


def launch(space: SearchSpace = SPACE, seeds: tuple[int, ...] | None = None, **options: Any) -> Act:
    return lambda study: study.launch(space, seeds, **options)


def edit_record(*, with_digest: bool) -> Act:
    return lambda study: study.edit_record('"at_least":2.0', '"at_least":1.0', with_digest=with_digest)


def other_study(study: MadeStudy) -> None:
    """Run half of the trials for a study of another name, before this study begins."""
    study.launch(replace(SPACE, name="other", question="Else?", claims=()), num_finished=4)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A history, with what the report has to say.

    Attributes:
        acts: what is done.
        space, seeds: of the report.
        kinds: of the deviations.
        says: words of each deviation.
        claims: what is said of each claim.
    """

    acts: tuple[Act, ...] = ()
    space: SearchSpace = SPACE
    seeds: tuple[int, ...] | None = None
    kinds: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    claims: tuple[str, ...] = BEFORE


DESIGN = SequentialDesign.between(2, 3)
FINISHED, STARTED = launch(), launch(num_finished=3, num_begun=1)
SWAPPED = replace(WIDE, axis="optimizer.lr", among=(0.1, 0.2))
NARROWED = replace(FASTER, where={"model.pos_embed": "none"})
FLIPPED = replace(RISING, direction="decreasing")
LOSS = with_claims(FASTER, WIDE, LARGE, metric="loss")

HONEST = {
    "registered, run, reported": Case(acts=(FINISHED,)),
    "reported again": Case(
        acts=(
            FINISHED,
            lambda study: study.compare(),
        )
    ),
    "stopped, not yet resumed": Case(acts=(STARTED,)),
    "stopped and resumed": Case(
        acts=(
            STARTED,
            launch(),
        )
    ),
    "resumed three times": Case(acts=(STARTED, launch(num_finished=1), launch(num_finished=1), launch())),
    "killed before its first trial": Case(acts=(launch(num_finished=0), launch())),
    "killed while it stored its record": Case(acts=(lambda study: study.open_launch(SPACE), launch())),
    "launched twice at once": Case(acts=(lambda study: study.begin_together(), launch(num_finished=4), launch())),
    "claim added before the first result": Case(acts=(launch(with_claims(FASTER, WIDE), num_finished=0), launch())),
    "margin changed before the first result": Case(
        acts=(launch(with_claims(FASTER, replace(WIDE, margin=9.0), LARGE), num_finished=0), launch())
    ),
    "more seeds announced, then run in parts": Case(
        acts=(launch(seeds=(0, 1, 2, 3), num_finished=5), launch(seeds=(0, 1, 2, 3))),
        seeds=(0, 1, 2, 3),
        claims=("registered before all 16 trials", "registered before all 16 trials", "registered before all 8 trials"),
    ),
    "more seeds before the first result": Case(
        acts=(launch(seeds=(0,), num_finished=0), launch()),
    ),
    "seeds added by a registered design": Case(
        acts=(launch(design=DESIGN), launch(seeds=(0, 1, 2), design=DESIGN)),
        seeds=(0, 1, 2),
        claims=("registered before all 12 trials", "registered before all 12 trials", "registered before all 6 trials"),
    ),
    "limited to some cells, then whole": Case(
        acts=(launch(replace(SPACE, cells={"optimizer.lr": (0.1,)})), launch()),
    ),
    "quickly tried for another study at the same time": Case(
        acts=(
            FINISHED,
            launch(replace(SPACE, name="other", claims=())),
        )
    ),
    "a store that was moved, then mended": Case(acts=(FINISHED, lambda study: study.move())),
    "a launch deleted in MLflow": Case(acts=(STARTED, lambda study: study.delete_launch(), launch())),
    "claims in another order": Case(
        acts=(
            STARTED,
            launch(with_claims(LARGE, FASTER, WIDE)),
        ),
        space=with_claims(LARGE, FASTER, WIDE),
        claims=(BEFORE[2], BEFORE[0], BEFORE[1]),
    ),
    "no claims": Case(acts=(launch(with_claims()),), space=with_claims(), claims=()),
    "not run yet": Case(claims=("not registered yet: no trial has run",) * 3),
    "run by an earlier version": Case(acts=(launch(registers=False),), claims=(NEVER,) * 3),
    "begun by an earlier version, resumed by this one": Case(
        acts=(launch(num_finished=3, registers=False), launch()),
        claims=(
            "registered after 3 of 8 trials: 3 run before registration existed",
            "registered after 3 of 8 trials: 3 run before registration existed",
            "registered after 1 of 4 trials: 1 run before registration existed",
        ),
    ),
    "trials begun without a step, then a claim added": Case(
        acts=(launch(with_claims(FASTER, WIDE), num_finished=0, num_begun=2, num_steps=0), launch()),
    ),
}

DISHONEST = {
    "claim added after results, and run": Case(
        acts=(launch(with_claims(FASTER, WIDE), num_finished=3), launch()),
        kinds=("claim",),
        says=("claim added after 1 of 4 trials",),
        claims=(*BEFORE[:2], "added after 1 of 4 trials"),
    ),
    "claim added once all is done, never run": Case(
        acts=(FINISHED,),
        space=with_claims(FASTER, WIDE, LARGE, RISING),
        kinds=("claim",),
        says=("claim added after 8 of 8 trials",),
        claims=(*BEFORE, "added after 8 of 8 trials, in no record"),
    ),
    "claim added after the first steps of one trial": Case(
        acts=(launch(with_claims(FASTER, WIDE), num_finished=0, num_begun=2), launch()),
        kinds=("claim",),
        says=("claim added after 1 of 4 trials",),
        claims=(*BEFORE[:2], "added after 1 of 4 trials"),
    ),
    "margin relaxed": Case(
        acts=(FINISHED,),
        space=with_claims(FASTER, replace(WIDE, margin=3.0), LARGE),
        kinds=("claim",),
        says=("margin: 1.0 -> 3.0",),
        claims=(BEFORE[0], "changed after 8 of 8 trials, in no record", BEFORE[2]),
    ),
    "least difference relaxed, and run": Case(
        acts=(
            STARTED,
            launch(with_claims(FASTER, WIDE, replace(LARGE, at_least=0.5))),
        ),
        space=with_claims(FASTER, WIDE, replace(LARGE, at_least=0.5)),
        kinds=("claim",),
        says=("at_least: 2.0 -> 0.5",),
        claims=(*BEFORE[:2], "changed after 2 of 4 trials"),
    ),
    "quote kept, axis swapped": Case(
        acts=(FINISHED,),
        space=with_claims(FASTER, SWAPPED, LARGE),
        kinds=("claim",),
        says=("axis: model.pos_embed -> optimizer.lr",),
        claims=(BEFORE[0], "changed after 8 of 8 trials, in no record", BEFORE[2]),
    ),
    "where narrowed": Case(
        acts=(FINISHED,),
        space=with_claims(NARROWED, WIDE, LARGE),
        kinds=("claim",),
        says=("where: none -> model.pos_embed none",),
        claims=("changed after 4 of 4 trials, in no record", *BEFORE[1:]),
    ),
    "claim dropped": Case(
        acts=(FINISHED,),
        space=with_claims(FASTER, LARGE),
        kinds=("claim",),
        says=("claim dropped after 8 of 8 trials",),
        claims=(BEFORE[0], BEFORE[2]),
    ),
    "claim dropped with its cells": Case(
        acts=(FINISHED,),
        space=with_claims(FASTER, scientific={**SPACE.scientific, "model.pos_embed": ("learned",)}),
        kinds=("claim", "claim", "setup"),
        says=("claim dropped", "claim dropped", "axes model.pos_embed: learned, none -> learned"),
        claims=("registered before all 4 trials",),
    ),
    "direction flipped": Case(
        acts=(launch(with_claims(RISING)),),
        space=with_claims(FLIPPED),
        kinds=("claim",),
        says=("direction: increasing -> decreasing",),
        claims=("changed after 8 of 8 trials, in no record",),
    ),
    "metric changed": Case(
        acts=(FINISHED,),
        space=LOSS,
        kinds=("claim",) * 3,
        says=("metric: accuracy -> loss",) * 3,
        claims=(*("changed after 8 of 8 trials, in no record",) * 2, "changed after 4 of 4 trials, in no record"),
    ),
    "quote changed": Case(
        acts=(FINISHED,),
        space=with_claims(replace(FASTER, quote="Faster is not worse."), WIDE, LARGE),
        kinds=("claim",),
        says=("quote: Faster is better. -> Faster is not worse.",),
        claims=("changed after 8 of 8 trials, in no record", *BEFORE[1:]),
    ),
    "claim changed, and changed back": Case(
        acts=(STARTED, launch(with_claims(FASTER, replace(WIDE, margin=3.0), LARGE), num_finished=1), launch()),
        kinds=("claim", "claim"),
        says=("margin: 1.0 -> 3.0", "margin: 3.0 -> 1.0"),
    ),
    "seeds added after a look": Case(
        acts=(
            FINISHED,
            launch(seeds=(0, 1, 2)),
        ),
        seeds=(0, 1, 2),
        kinds=("seeds",),
        says=("seeds 2 added after 8 trials had results",),
        claims=("registered before all 12 trials", "registered before all 12 trials", "registered before all 6 trials"),
    ),
    "more seeds than a registered design allows": Case(
        acts=(launch(design=DESIGN), launch(seeds=(0, 1, 2, 3), design=DESIGN)),
        seeds=(0, 1, 2, 3),
        kinds=("seeds",),
        says=("seeds 3 added after 8 trials had results",),
        claims=("registered before all 16 trials", "registered before all 16 trials", "registered before all 8 trials"),
    ),
    "a design made up after a look": Case(
        acts=(
            FINISHED,
            launch(seeds=(0, 1, 2), design=DESIGN),
        ),
        seeds=(0, 1, 2),
        kinds=("seeds", "rule"),
        says=("seeds 2 added", "looks: none -> 2 3"),
        claims=("registered before all 12 trials", "registered before all 12 trials", "registered before all 6 trials"),
    ),
    "seeds left out of the report": Case(
        acts=(launch(seeds=(0, 1, 2)),),
        seeds=(0, 1),
        kinds=("seeds",),
        says=("seeds 2 left out after 12 trials had results",),
    ),
    "question changed": Case(
        acts=(FINISHED,),
        space=replace(SPACE, question="Do positions matter?"),
        kinds=("question",),
        says=("Does the learning rate matter? -> Do positions matter?",),
    ),
    "setup changed": Case(
        acts=(
            FINISHED,
            launch(replace(SPACE, base=replace(SPACE.base, steps=6))),
        ),
        space=replace(SPACE, base=replace(SPACE.base, steps=6)),
        kinds=("setup",),
        says=("steps: 5 -> 6",),
    ),
    "code of training changed between launches": Case(
        acts=(
            STARTED,
            launch(code={"training": "f" * 16}),
        ),
        kinds=("code",),
        says=("code changed after 4 trials had results, by the launch of",),
    ),
    "code of the tests changed before the report": Case(
        acts=(launch(code={"tests": "f" * 16}),),
        kinds=("code",),
        says=("tests: ffffffffffffffff ->",),
    ),
    "record edited": Case(
        acts=(FINISHED, edit_record(with_digest=False)),
        kinds=("record",),
        says=("was changed",),
        claims=("not registered: the record of its trials is missing",) * 3,
    ),
    "record and its digest edited": Case(
        acts=(FINISHED, edit_record(with_digest=True)),
        space=with_claims(FASTER, WIDE, replace(LARGE, at_least=1.0)),
        kinds=("record",),
        says=("a record is missing that 8 trials began under",),
    ),
    "record deleted": Case(
        acts=(FINISHED, lambda study: study.remove_record()),
        kinds=("record",),
        says=("is missing: its digest is",),
        claims=("not registered: the record of its trials is missing",) * 3,
    ),
    "launch removed with its record": Case(
        acts=(STARTED, launch(with_claims(FASTER, WIDE)), lambda study: study.remove_launch()),
        space=with_claims(FASTER, WIDE),
        kinds=("record", "claim", "claim"),
        says=("a record before that of", "registered after 4 of its 8 trials", "registered after 4 of its 8 trials"),
        claims=("registered after 4 of 8 trials: 4 run before this record",) * 2,
    ),
    "run for another study first": Case(
        acts=(other_study, launch()),
        kinds=("claim",) * 3,
        says=("4 run for another study",) * 2 + ("2 run for another study",),
        claims=(
            "registered after 4 of 8 trials: 4 run for another study",
            "registered after 4 of 8 trials: 4 run for another study",
            "registered after 2 of 4 trials: 2 run for another study",
        ),
    ),
    "claim added after results of an earlier setup": Case(
        acts=(launch(with_claims(FASTER)), launch(with_claims(FASTER, WIDE, base=replace(SPACE.base, steps=6)))),
        space=with_claims(FASTER, WIDE, base=replace(SPACE.base, steps=6)),
        kinds=("claim", "setup"),
        says=("claim added after 8 of 8 trials", "steps: 5 -> 6"),
        claims=(BEFORE[0], "added after 8 of 8 trials"),
    ),
}


@pytest.mark.parametrize("name", [*HONEST, *DISHONEST])
def test_a_history_is_called_what_it_is(name: str, tmp_path: Path, cache_dir: Path) -> None:
    check(name, MadeStudy(tmp_path, cache_dir))


STORED = ("stopped and resumed", "run by an earlier version", "margin relaxed", "launch removed with its record")


@pytest.mark.parametrize("name", STORED)
def test_a_history_in_a_store_is_called_what_it_is(name: str, empty: WrittenStudy, tmp_path: Path) -> None:
    check(name, empty.copy(tmp_path))


@pytest.mark.long
@pytest.mark.parametrize("name", [*HONEST, *DISHONEST])
def test_every_history_in_a_store_is_called_what_it_is(name: str, empty: WrittenStudy, tmp_path: Path) -> None:
    check(name, empty.copy(tmp_path))


def check(name: str, study: MadeStudy) -> None:
    case = {**HONEST, **DISHONEST}[name]
    for act in case.acts:
        act(study)
    found = study.compare(case.space, case.seeds)
    assert tuple(each.kind for each in found.deviations) == case.kinds, found.deviations
    for each, words in zip(texts(found), case.says, strict=True):
        assert words in each
    assert tuple(each.text for each in found.claims) == case.claims


def texts(report: RegistrationReport) -> list[str]:
    return [f"{each.text}: {'; '.join(each.details)}" for each in report.deviations]


def test_there_are_many_histories() -> None:
    assert len(HONEST) >= 12
    assert len(DISHONEST) >= 20
    assert all(not case.kinds for case in HONEST.values())
    assert all(case.kinds for case in DISHONEST.values())
