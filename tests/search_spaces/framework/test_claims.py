"""Claims as data: the contrasts of each, their sentences, refused values, restated values."""

import dataclasses

import pytest

import search_spaces
from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.claims import (
    Best,
    BetterThan,
    Claim,
    Gap,
    Interaction,
    Matches,
    NoDifference,
    Trend,
    check_claim,
    restate_claim,
)
from search_spaces.framework.scales import SCALES
from search_spaces.framework.space import SearchSpace

WITH_RECIPE = [name for name in search_spaces.names() if search_spaces.load(name).base is None]
WITH_CLAIMS = {
    "ablation_grid": 3,
    "data_fraction": 6,
    "domain_shift": 3,
    "optimizer_schedule": 4,
    "pos_embed": 3,
    "replication": 1,
    "resolution": 2,
}


def test_best_is_compared_with_every_other_value() -> None:
    claim = Best(axis="resolution", value=224, among=(512, 224, 64), where={"dataset": "a"}, quote="")
    best, large, small = ({"dataset": "a", "resolution": resolution} for resolution in (224, 512, 64))
    assert claim.contrasts == (((1, best), (-1, large)), ((1, best), (-1, small)))


def test_equal_values_are_compared_pair_by_pair() -> None:
    claim = NoDifference(axis="s", among=("a", "b", "c"), margin=1, quote="")
    pairs = [tuple((weight, cell["s"]) for weight, cell in contrast) for contrast in claim.contrasts]
    assert pairs == [((1, "a"), (-1, "b")), ((1, "a"), (-1, "c")), ((1, "b"), (-1, "c"))]


def test_each_value_is_compared_with_the_published_one() -> None:
    claim = Matches(axis="d", published={"a": 90, "b": 80}, margin=1, where={"r": 224}, quote="")
    assert claim.contrasts == (((1, {"r": 224, "d": "a"}),), ((1, {"r": 224, "d": "b"}),))


def test_an_interaction_is_a_difference_in_differences() -> None:
    claim = Interaction(axis="fraction", low=0.1, high=1.0, moderator="model", larger="vit", smaller="bit", quote="")
    (contrast,) = claim.contrasts
    accuracy = {("vit", 1.0): 0.9, ("vit", 0.1): 0.2, ("bit", 1.0): 0.8, ("bit", 0.1): 0.6}
    assert sum(w * accuracy[cell["model"], cell["fraction"]] for w, cell in contrast) == pytest.approx(0.7 - 0.2)


@pytest.mark.parametrize(("direction", "sign"), [("increasing", 1), ("decreasing", -1)])
def test_a_trend_is_the_change_along_a_straight_line(direction: str, sign: int) -> None:
    claim = Trend(axis="x", direction=direction, values=(9, 5, 7, 1), quote="")
    (contrast,) = claim.contrasts
    assert [cell["x"] for _, cell in contrast] == [9, 5, 7, 1]
    assert sum(weight for weight, _ in contrast) == pytest.approx(0)
    assert sum(weight * (0.5 + 0.1 * rank) for rank, (weight, _) in enumerate(contrast)) == pytest.approx(sign * 0.3)


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        (
            BetterThan(better={"r": 384}, worse={"r": 512}, where={"d": "a"}, quote=""),
            "r 384 is better than r 512, where d a",
        ),
        (Gap(better={"r": 1}, worse={"r": 2}, at_least=2.5, quote=""), "r 1 is better than r 2 by at least 2.5 pp"),
        (Best(axis="r", value=1, among=(1, 2), where={"d": "a"}, quote=""), "r 1 is the best of 1, 2, where d a"),
        (Trend(axis="r", direction="decreasing", values=(1, 2), quote=""), "accuracy decreases over r 1, 2"),
        (
            Interaction(axis="f", low=0, high=1, moderator="m", larger="v", smaller="b", quote=""),
            "the gain from f 0 to 1 is larger for m v than for b",
        ),
        (NoDifference(axis="s", among=("a", "b"), margin=0.25, quote=""), "s a, b are equal within 0.25 pp"),
        (
            Matches(axis="d", published={"a": 98.5, "b": 91}, margin=1, where={"r": 384}, quote=""),
            "d a, b are as published, 98.5, 91, within 1 pp, where r 384",
        ),
    ],
)
def test_a_claim_reads_as_a_sentence(claim: Claim, sentence: str) -> None:
    assert str(claim) == sentence


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Best(axis="r", value=3, among=(1, 2), quote=""), "value = 3"),
        (lambda: Best(axis="r", value=1, among=(1,), quote=""), "two or more"),
        (lambda: Trend(axis="r", direction="increasing", values=(1, 1), quote=""), "two or more"),
        (lambda: Trend(axis="r", direction="up", values=(1, 2), quote=""), "one of increasing, decreasing"),
        (lambda: NoDifference(axis="r", among=(1, 2), margin=0, quote=""), "margin = 0"),
        (lambda: Matches(axis="d", published={"a": 90}, margin=0, quote=""), "margin = 0"),
        (lambda: Matches(axis="d", published={}, margin=1, quote=""), "one accuracy or more"),
        (lambda: Matches(axis="d", published={"a": 90, "b": 101}, margin=1, quote=""), "'b': 101}: .* in percent"),
        (lambda: Matches(axis="d", published={"a": 0.9}, margin=1, quote=""), "'a': 0.9}: .* in percent"),
        (lambda: Gap(better={"r": 1}, worse={"r": 2}, at_least=-1, quote=""), "at_least = -1"),
        (lambda: Gap(better={"r": 1}, worse={"r": 1}, at_least=1, quote=""), "must be different"),
        (lambda: BetterThan(better={"r": 1}, worse={"r": 1}, quote=""), "must be different"),
        (
            lambda: Interaction(axis="f", low=1, high=1, moderator="m", larger="v", smaller="b", quote=""),
            "low and high",
        ),
        (
            lambda: Interaction(axis="f", low=0, high=1, moderator="m", larger="v", smaller="v", quote=""),
            "larger and smaller",
        ),
    ],
)
def test_invalid_claims_are_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_claims_change_no_trial() -> None:
    """Identities come from configs, and those are the same."""
    for name in WITH_CLAIMS:
        study = search_spaces.load(name)
        assert study.candidates(study.seeds) == dataclasses.replace(study, claims=()).candidates(study.seeds)


@pytest.mark.parametrize("name", search_spaces.names())
def test_claims_of_studies_are_about_cells_that_run(name: str) -> None:
    study = search_spaces.load(name)
    assert len(study.claims) == WITH_CLAIMS.get(name, 0)
    run = [candidate.requested_values.items() for candidate in study.candidates(study.seeds[:1])]
    for claim in study.claims:
        assert claim.quote
        for contrast in claim.contrasts:
            averaged_over = [
                {frozenset(point - cell.items()) for point in run if cell.items() <= point} for _, cell in contrast
            ]
            assert averaged_over[0]
            assert all(settings == averaged_over[0] for settings in averaged_over)


def test_every_study_of_the_paper_states_claims() -> None:
    assert WITH_CLAIMS.keys() == set(WITH_RECIPE)


def space(*claims: Claim) -> SearchSpace:
    base = FineTuneConfig(dataset="digits", resolution=8, steps=5)
    return SearchSpace(name="x", question="?", base=base, scientific={"batch_size": (16, 32, 64)}, claims=claims)


def test_a_space_refuses_a_claim_about_what_it_does_not_have() -> None:
    with pytest.raises(InputError, match=r"search space x: claim .*: axis batch_size has no 128; it has 16, 32, 64"):
        space(BetterThan(better={"batch_size": 128}, worse={"batch_size": 16}, quote=""))
    with pytest.raises(InputError, match=r"axis batch_size has no 48; it has 16, 32, 64"):
        space(Matches(axis="batch_size", published={16: 90, 48: 91}, margin=1, quote=""))
    with pytest.raises(InputError, match="resolution is not a scientific axis; they are batch_size"):
        space(Trend(axis="batch_size", direction="increasing", values=(16, 32), where={"resolution": 8}, quote=""))


def test_a_restated_interaction_replaces_the_values_of_both_axes() -> None:
    claim = Interaction(axis="f", low=0, high=1, moderator="m", larger="v", smaller="b", where={"d": "x"}, quote="")
    restated = restate_claim(claim, {"f": {0: 10, 1: 11}, "m": {"b": "c"}, "d": {"x": "y"}, "other": {"v": "w"}})
    assert restated == Interaction(
        axis="f", low=10, high=11, moderator="m", larger="v", smaller="c", where={"d": "y"}, quote=""
    )


@pytest.mark.parametrize("recipe", ["paper", "authors"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", WITH_RECIPE)
def test_restated_claims_name_trained_values(name: str, scale: str, recipe: str) -> None:
    """Each value that a claim names is one that tables show; without replacements no claim changes."""
    space = search_spaces.load(name).variant(scale=scale, recipe=recipe)
    cells = [each.cell for each in space.candidates((0,))]
    trained = {axis: tuple(dict.fromkeys(cell[axis] for cell in cells)) for axis in space.scientific}
    for claim in space.claims:
        check_claim(restate_claim(claim, space.trained_values), trained)
        assert restate_claim(claim, {}) == claim


def test_nano_claims_name_nano_values() -> None:
    names = ("resolution", "optimizer_schedule", "data_fraction")
    spaces = [search_spaces.load(name).variant(scale="nano") for name in names]
    lines = [str(restate_claim(claim, space.trained_values)) for space in spaces for claim in space.claims]
    assert lines[0] == "resolution 28 is the best of 64, 48, 28, 16, 8, where dataset photos"
    assert lines[2].endswith("where learning_rate fixed, schedule.name cosine")
    gain = "the gain from data_fraction 0.1 to 1.0 is larger for model.name vit_nano than for bit_nano"
    assert lines[6].startswith(f"{gain}, where dataset photos")
