"""Claims as data: the contrasts of each, their sentences, refused values, restated values."""

import dataclasses

import pytest

import search_spaces
from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.claim_cells import Words
from search_spaces.framework.claim_metrics import check_claim_metric
from search_spaces.framework.claims import (
    Best,
    BetterThan,
    Claim,
    InRange,
    LargerGap,
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
    "attention_only": 1,
    "attention_only_384": 6,
    "attention_only_inat": 3,
    "data_fraction": 4,
    "domain_shift": 6,
    "lp_ft": 3,
    "optimizer_schedule": 4,
    "pos_embed": 4,
    "replication": 1,
    "resolution": 5,
    "sgd_or_adamw": 5,
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


VIT, BIT = {"model.name": "vit"}, {"model.name": "bit"}


def gain(low: float, **cell: object) -> tuple[dict[str, object], dict[str, object]]:
    return {**cell, "f": 1.0}, {**cell, "f": low}


def test_a_larger_gap_is_a_difference_in_differences() -> None:
    claim = LargerGap(gap=gain(0.1, **VIT), than=(gain(0.1, **BIT),), quote="")
    (contrast,) = claim.contrasts
    accuracy = {("vit", 1.0): 0.9, ("vit", 0.1): 0.2, ("bit", 1.0): 0.8, ("bit", 0.1): 0.6}
    assert sum(w * accuracy[cell["model.name"], cell["f"]] for w, cell in contrast) == pytest.approx(0.7 - 0.2)


def test_a_gap_either_way_is_larger_than_the_size_of_each_other() -> None:
    value = {("a", 1.0): 9, ("a", 0.1): 4, ("b", 1.0): 7, ("b", 0.1): 8, ("c", 1.0): 3, ("c", 0.1): 1}
    one, *others = (gain(0.1, d=each) for each in "abc")
    claim = LargerGap(gap=one, than=tuple(others), either_way=True, quote="")
    found = [sum(weight * value[cell["d"], cell["f"]] for weight, cell in contrast) for contrast in claim.contrasts]
    assert found == [5 + 1, 5 - 2, 5 - 1, 5 + 2]


def test_a_tuple_of_values_stands_for_each_of_them() -> None:
    where = {"d": ("x", "y"), "m": "v"}
    claim = BetterThan(better={"f": 1.0}, worse={"f": (0.25, 0.1)}, where=where, quote="")
    found = [({cell["d"] for _, cell in each}, [cell["f"] for _, cell in each]) for each in claim.contrasts]
    assert found == [({d}, [1.0, low]) for d in "xy" for low in (0.25, 0.1)]
    assert all(cell["m"] == "v" for contrast in claim.contrasts for _, cell in contrast)
    assert [len(clause) for clause in claim.clauses] == [1] * 4, "all must hold"


def test_of_several_best_values_one_must_beat_each_of_the_others() -> None:
    claim = Best(axis="r", value=(3, 2), among=(3, 2, 1, 0), quote="")
    pairs = [[(high["r"], low["r"]) for (_, high), (_, low) in clause] for clause in claim.clauses]
    assert pairs == [[(3, 1), (2, 1)], [(3, 0), (2, 0)]]


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
            "r 384 has higher accuracy than r 512, where d a",
        ),
        (
            BetterThan(better={"r": 1}, worse={"r": (2, 3)}, at_least=2.5, where={"d": ("a", "b"), "m": 0}, quote=""),
            "r 1 has higher accuracy than each r of 2, 3 by at least 2.5 pp, for each d of a, b, where m 0",
        ),
        (
            BetterThan(better=VIT, worse=BIT, at_most=1, quote=""),
            "model vit has higher accuracy than model bit by at most 1 pp",
        ),
        (
            Best(axis="r", value=1, among=(1, 2), where={"d": "a"}, quote=""),
            "r 1 has the highest accuracy of 1, 2, where d a",
        ),
        (
            Best(axis="r", value=(1, 2), among=(1, 2, 3, 4), quote=""),
            "r 1 or 2 has higher accuracy than each r of 3, 4",
        ),
        (Best(axis="r", value=(1, 2), among=(1, 2, 3), quote=""), "r 1 or 2 has higher accuracy than r 3"),
        (Trend(axis="r", direction="decreasing", values=(1, 2), quote=""), "accuracy decreases over r 1, 2"),
        (
            LargerGap(gap=gain(0.1, **VIT), than=(gain(0.1, **BIT),), at_least=5, where={"d": "a"}, quote=""),
            "model vit gains more accuracy from f 0.1 to 1.0 than model bit by at least 5 pp, where d a",
        ),
        (
            LargerGap(gap=gain(0, d="a"), than=(gain(0, d="b"), gain(0, d="c")), either_way=True, quote=""),
            "d a gains more accuracy from f 0 to 1.0 than d b and than d c, whichever is better there",
        ),
        (
            LargerGap(gap=({"r": 128}, {"r": 64}), than=(({"r": 512}, {"r": 128}),), quote=""),
            "the gain in accuracy from r 64 to 128 is larger than that from r 128 to 512",
        ),
        (
            LargerGap(gap=gain(0.1, d="a"), than=(gain(0.25, d="a"), gain(0.1, d="b")), quote=""),
            "the gain in accuracy from f 0.1 to 1.0 with d a is larger than each gain of these: "
            "from f 0.25 to 1.0 with d a; from f 0.1 to 1.0 with d b",
        ),
        (NoDifference(axis="s", among=("a", "b"), margin=0.25, quote=""), "accuracy of s a, b is equal within 0.25 pp"),
        (InRange(above=90, where={"d": "a"}, quote=""), "accuracy is above 90 %, where d a"),
        (InRange(above=90, below=95.5, quote=""), "accuracy is above 90 and below 95.5 %"),
        (
            Matches(axis="d", published={"a": 98.5, "b": 91}, margin=1, where={"r": 384}, quote=""),
            "accuracy of d a, b is as published, 98.5, 91, within 1 pp, where r 384",
        ),
    ],
)
def test_a_claim_reads_as_a_sentence(claim: Claim, sentence: str) -> None:
    assert str(claim) == sentence


MEMORY = Words("peak memory", "bytes", "lower")


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [
        (
            BetterThan(better={"t": "a"}, worse={"t": "all"}, at_least=10, relative=True, quote=""),
            "t a has lower peak memory than t all by at least 10 %",
        ),
        (
            BetterThan(better={"t": "a"}, worse={"t": "all"}, at_least=5, at_most=15, relative=True, quote=""),
            "t a has lower peak memory than t all by 5 to 15 %",
        ),
        (Best(axis="r", value=1, among=(1, 2), quote=""), "r 1 has the lowest peak memory of 1, 2"),
        (
            LargerGap(gap=gain(0, **VIT), than=(gain(0, **BIT),), quote=""),
            "model vit lowers peak memory more from f 0 to 1.0 than model bit",
        ),
        (
            LargerGap(gap=({"r": 2}, {"r": 1}), than=(({"r": 3}, {"r": 2}),), quote=""),
            "the drop in peak memory from r 1 to 2 is larger than that from r 2 to 3",
        ),
        (InRange(below=5, quote=""), "peak memory is below 5 bytes"),
    ],
)
def test_a_claim_reads_as_a_sentence_about_its_metric(claim: Claim, sentence: str) -> None:
    assert claim.describe(MEMORY) == sentence


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
        (lambda: BetterThan(better={"r": 1}, worse={"r": 2}, at_least=-1, quote=""), "at_least = -1"),
        (lambda: BetterThan(better={"r": 1}, worse={"r": 1}, at_least=1, quote=""), "must be different"),
        (lambda: BetterThan(better={"r": 1}, worse={"r": 1}, quote=""), "must be different"),
        (lambda: BetterThan(better={"r": (1, 2)}, worse={"r": (2, 3)}, quote=""), "must be different"),
        (lambda: BetterThan(better={"r": 1}, worse={"r": 2}, at_least=2, at_most=2, quote=""), "above at_least = 2"),
        (lambda: BetterThan(better={"r": 1}, worse={"r": (2, 2)}, quote=""), "two or more values that differ"),
        (lambda: BetterThan(better={"r": 1}, worse={"r": 2}, where={"d": ()}, quote=""), "where = .*two or more"),
        (lambda: Best(axis="r", value=(1, 2), among=(1, 2), quote=""), "or some of them"),
        (lambda: Best(axis="r", value=(1, 1), among=(1, 2), quote=""), "two or more"),
        (lambda: LargerGap(gap=({"r": 1}, {"r": 1}), than=(({"r": 1}, {"r": 2}),), quote=""), "the cells of a gap"),
        (lambda: LargerGap(gap=({"r": 1}, {"r": 2}), than=(({"r": 1}, {"r": 2}),), quote=""), "other gaps"),
        (lambda: LargerGap(gap=({"r": 1}, {"r": 2}), than=(), quote=""), "one gap or more"),
        (lambda: InRange(quote=""), "one of them at least"),
        (lambda: InRange(above=2, below=1, quote=""), "above = 2"),
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


def test_a_restated_claim_replaces_the_values_of_every_cell() -> None:
    claim = LargerGap(gap=gain(0, m="v"), than=(gain(0, m="b"),), where={"d": ("x", "z")}, quote="")
    restated = restate_claim(claim, {"f": {0: 10, 1.0: 11}, "m": {"b": "c"}, "d": {"x": "y"}, "other": {"v": "w"}})
    assert restated == LargerGap(
        gap=({"m": "v", "f": 11}, {"m": "v", "f": 10}),
        than=(({"m": "c", "f": 11}, {"m": "c", "f": 10}),),
        where={"d": ("y", "z")},
        quote="",
    )


@pytest.mark.parametrize("recipe", ["paper", "authors"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", WITH_RECIPE)
def test_restated_claims_name_trained_values(name: str, scale: str, recipe: str) -> None:
    """Each value that a claim names is one that tables show; without replacements no claim changes."""
    if (name, recipe) == ("lp_ft", "authors"):
        pytest.skip("it tunes on validation images, and this recipe holds none out")
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
    assert "resolution 28 has the highest accuracy of 64, 48, 28, 16, 8, where dataset photos" in lines
    gain = "model vit_nano gains more accuracy from data_fraction 0.1 to 1.0 than model bit_nano"
    assert f"{gain}, for each dataset of photos, digits, where budget matched steps" in lines


ATTENTION, ALL = {"model.trained": "attention"}, {"model.trained": "all"}


def lead(model: str) -> tuple[dict[str, str], dict[str, str]]:
    return {**ALL, "model": model}, {**ATTENTION, "model": model}


@pytest.mark.parametrize(
    ("claim", "metric", "sentence"),
    [
        (
            NoDifference(
                axis="model.trained", among=("attention", "all"), margin=0.1, where={"resolution": 384}, quote=""
            ),
            Words(),
            "accuracy of trained attention, all is equal within 0.1 pp, where resolution 384",
        ),
        (
            BetterThan(better=ATTENTION, worse=ALL, where={"dataset": ("cars", "flowers")}, quote=""),
            Words(),
            "trained attention has higher accuracy than trained all, for each dataset of cars, flowers",
        ),
        (
            LargerGap(gap=lead("vit_s"), than=(lead("vit_l"),), where={"dataset": "inat18"}, quote=""),
            Words(),
            "model vit_s gains more accuracy from trained attention to all than model vit_l, where dataset inat18",
        ),
        (
            BetterThan(better=ATTENTION, worse=ALL, at_least=10, relative=True, metric="peak_memory_bytes", quote=""),
            MEMORY,
            "trained attention has lower peak memory than trained all by at least 10 %",
        ),
        (
            BetterThan(better=ATTENTION, worse=ALL, at_least=10, relative=True, metric="train_images_per_s", quote=""),
            Words("training speed", "images/s"),
            "trained attention has higher training speed than trained all by at least 10 %",
        ),
        (
            BetterThan(
                better=ATTENTION, worse=ALL, at_least=62, at_most=71, relative=True, metric="num_trained", quote=""
            ),
            Words("trained parameters", "parameters", "lower"),
            "trained attention has lower trained parameters than trained all by 62 to 71 %",
        ),
    ],
)
def test_the_sentences_of_another_paper_can_be_said(claim: Claim, metric: Words, sentence: str) -> None:
    """Touvron et al., Three things everyone should know about Vision Transformers, section 4 (arXiv 2203.09795)."""
    assert claim.describe(metric) == sentence
    check_claim_metric(claim, "accuracy")
