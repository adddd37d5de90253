"""Axis values of claims: refused where a study has none, restated in trained values."""

import pytest

import search_spaces
from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.claim_axes import check_claim, restate_claim
from search_spaces.framework.claims import BetterThan, Claim, Interaction, Matches, Trend
from search_spaces.framework.scales import SCALES
from search_spaces.framework.space import SearchSpace

WITH_RECIPE = [name for name in search_spaces.names() if name != "quickstart"]


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
    assert lines[2].endswith("where optimizer.lr 0.01, schedule.name cosine")
    gain = "the gain from data_fraction 0.1 to 1.0 is larger for model.name vit_nano than for bit_nano"
    assert lines[4].startswith(f"{gain}, where dataset photos")
