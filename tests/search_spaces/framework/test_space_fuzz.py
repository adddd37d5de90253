"""Fuzzed studies: each is accepted or refused in one line; all trials of an accepted one have an identity."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import strategies as st

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.claims import Best, BetterThan, InRange, LargerGap, Matches, NoDifference, Trend
from search_spaces.framework.ranges import Range
from search_spaces.framework.recipes import RECIPES, Experiment
from search_spaces.framework.scales import SCALES
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from tests.identities import identity_of

BASE = FineTuneConfig(dataset="digits", steps=10)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-2, 40)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([10**400, "a\nb", "\0", "cifar10", "flowers102", "adam", "vit_b16_in21k", "vit_cifar_scratch"])
)
anything = st.recursive(
    plain,
    lambda each: (
        st.lists(each, max_size=3)
        | st.lists(each, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(0, 3), each, max_size=3)
    ),
    max_leaves=5,
)
real = {
    "dataset": st.sampled_from(["cifar10", "cifar100", "flowers102", "brain_tumor_mri", "digits", 5, ["cifar10"]]),
    "model.name": st.sampled_from(
        ["vit_b16_in21k", "bit_r50x1_in21k", "vit_cifar_scratch", "vit_nano", "x", None, ["x"]]
    ),
    "data_fraction": st.sampled_from([1.0, 0.5, "half", None, -1]),
    "optimizer.name": st.sampled_from(["sgd", "adamw", "lion", 3]),
    "schedule.name": st.sampled_from(["cosine", "plateau", "linear", {}]),
    "steps": st.sampled_from([10, 0, None, 10**30]),
    "resolution": st.sampled_from([224, 384, 28, 30, "large"]),
}
fields = st.sampled_from(list(real)).flatmap(lambda path: st.tuples(st.just(path), real[path]))
levels = st.dictionaries(
    st.text(max_size=3), st.dictionaries(st.sampled_from(list(real)), plain, max_size=2), max_size=2
)
axis = st.sampled_from(list(real)).flatmap(
    lambda path: st.tuples(st.just(path), st.lists(real[path], min_size=1, max_size=3).map(tuple))
)
axes = st.lists(axis, max_size=2).map(dict) | st.dictionaries(st.text(max_size=4), levels | anything, max_size=2)


def accept_or_refuse(make: Callable[[], Any]) -> Any:
    """Return what `make` makes, or None if it refuses in one line."""
    try:
        return make()
    except InputError as error:
        assert str(error).isprintable()
        return None


def test_any_study_is_accepted_or_refused_in_one_line(fuzz: Callable[..., None]) -> None:
    def check(recipe: str, scale: str, experiment: str, own: bool, scientific: Any, nuisance: Any, fixed: Any) -> None:
        space = accept_or_refuse(
            lambda: SearchSpace(
                name="example",
                question="?",
                scientific=scientific,
                nuisance=nuisance,
                fixed=fixed,
                experiment=experiment,
                recipe=recipe,
                scale=scale,
                base=BASE if own else None,
            )
        )
        for candidate in [] if space is None else space.candidates(space.seeds):
            assert len(identity_of(candidate.config)) == 16

    fixed = st.lists(fields, max_size=3).map(dict) | st.just({"dataset": "cifar10"}) | anything
    experiments = st.sampled_from(get_args(Experiment))
    recipes, scales = st.sampled_from(list(RECIPES)), st.sampled_from(list(SCALES))
    fuzz(300, check, recipes, scales, experiments, st.booleans(), axes, st.just({}) | axes, fixed)


def test_any_search_is_accepted_or_refused_in_one_line(fuzz: Callable[..., None]) -> None:
    def check(ranges: Any, search: Any) -> None:
        axes = {path: accept_or_refuse(lambda given=given: Range(**given)) for path, given in ranges.items()}
        searched = accept_or_refuse(lambda: Search(**search))
        space = accept_or_refuse(
            lambda: SearchSpace(
                name="example", question="?", base=BASE, scientific={"hflip": (True, False)}, search=searched,
                nuisance={path: each for path, each in axes.items() if each},
            )
        )  # fmt: skip
        for cell in [] if space is None else space.list_cells():
            assert space.num_points(cell) > 0
            assert len(identity_of(space.search_candidate(cell, cell.first_point, 0).config)) == 16

    bounds = st.sampled_from([0.1, 0.9, 1, 5]) | anything
    when = st.sampled_from([{}, {"hflip": True}, {"hflip": (False,)}, {"mixup": 1}]) | anything
    options = {"log": st.booleans(), "integer": st.booleans(), "when": when}
    searched = st.fixed_dictionaries({"low": bounds, "high": bounds}, optional=options)
    ranges = st.dictionaries(st.sampled_from(["mixup", "optimizer.lr", "batch_size", "x"]), searched, max_size=2)
    parts = {
        "sampler": st.sampled_from(["grid", "random", "tpe", "gp"]) | anything,
        "pruner": st.sampled_from(["median", "wilcoxon"]) | anything,
        "num_trials": st.integers(-1, 9) | anything, "seeds": st.just((0, 1)) | anything, "enqueue": anything,
        "objectives": st.just(("accuracy", "loss")) | anything, "time_budget_s": anything,
    }  # fmt: skip
    fuzz(300, check, ranges, st.fixed_dictionaries({}, optional=parts))


def test_any_argument_of_a_study_is_accepted_or_refused_in_one_line(fuzz: Callable[..., None]) -> None:
    given = {"name": "example", "question": "?", "scientific": {"optimizer.lr": (0.1, 0.2)}, "base": BASE}
    parts = (
        *given,
        "nuisance",
        "search",
        "fixed",
        "constraint",
        "seeds",
        "claims",
        "columns",
        "paper",
        "table",
        "recipe",
    )
    fuzz(
        200,
        lambda part, value: accept_or_refuse(lambda: SearchSpace(**given | {part: value})),
        st.sampled_from([*parts, "experiment", "scale"]),
        anything | st.lists(anything, max_size=2).map(tuple),
    )


CLAIMS = {
    BetterThan: {"better": {"lr": 0.1}, "worse": {"lr": 0.2}, "at_least": 1.0, "at_most": 2.0, "metric": None},
    Best: {"axis": "lr", "value": 0.1, "among": (0.1, 0.2)},
    Trend: {"axis": "lr", "direction": "increasing", "values": (0.1, 0.2)},
    LargerGap: {"gap": ({"lr": 0.1}, {"lr": 0.2}), "than": (({"lr": 0.2}, {"lr": 0.1}),), "either_way": True},
    InRange: {"where": {"lr": 0.1}, "above": 90.0, "below": 95.0},
    NoDifference: {"axis": "lr", "among": (0.1, 0.2), "margin": 1.0},
    Matches: {"axis": "lr", "published": {0.1: 90.0}, "margin": 1.0},
}


@pytest.mark.parametrize("kind", CLAIMS, ids=lambda kind: kind.__name__)
def test_any_claim_is_accepted_or_refused_in_one_line(fuzz: Callable[..., None], kind: type) -> None:
    given = CLAIMS[kind] | {"quote": "They differ."}
    scientific = {"lr": {"a": {"optimizer.lr": 0.1}, "b": {"optimizer.lr": 0.2}}, "name": {"a": {}, "b": {}}}

    def check(changes: dict[str, Any]) -> None:
        claim = accept_or_refuse(lambda: kind(**given | changes))
        if claim is not None:
            assert isinstance(str(claim), str)
            accept_or_refuse(
                lambda: SearchSpace(name="example", question="?", base=BASE, scientific=scientific, claims=(claim,))
            )

    values = anything | st.sampled_from(["lr", "name", "a", "b", ("a", "b"), {"lr": "a"}, {"lr": "b", "name": "a"}])
    fuzz(40, check, st.dictionaries(st.sampled_from(list(given)), values, max_size=2))
