"""study.registration.claim_record."""

from dataclasses import dataclass, replace

import pytest

import search_spaces
from search_spaces.framework.claims import BetterThan, Matches, restate_claim
from study.registration import claim_record
from study.registration.claim_record import (
    SENTENCE,
    claim_of,
    claim_records,
    differences,
    pair_claims,
)
from study.registration.record import canonical_json
from tests.study.registration.made_study import FASTER, LARGE, WIDE, with_claims


@pytest.mark.parametrize("scale", ["paper", "nano"])
@pytest.mark.parametrize("name", search_spaces.names())
def test_a_record_has_the_whole_claim(name: str, scale: str) -> None:
    space = search_spaces.load(name)
    space = space if space.base is not None else space.variant(scale=scale)
    records = claim_records(space)
    stated = [replace(each, metric=each.metric or space.metric) for each in space.claims]
    assert [claim_of(each) for each in records] == [restate_claim(each, space.trained_values) for each in stated]
    assert all(each[SENTENCE] for each in records)
    canonical_json(records)


def test_published_values_keep_their_types() -> None:
    claim = Matches(axis="optimizer.lr", published={0.1: 90.0, 0.2: 91.0}, margin=1.0, quote="")
    [record] = claim_records(with_claims(claim))
    assert record["published"] == [[0.1, 90.0], [0.2, 91.0]]
    assert claim_of(record) == replace(claim, metric="accuracy")


def test_a_field_of_a_later_version_changes_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Later(BetterThan):
        one_sided: bool = False

    later = Later(better=FASTER.better, worse=FASTER.worse, quote=FASTER.quote)
    record = claim_record._record(later, "accuracy")
    assert {**record, "claim": "BetterThan"} == claim_record._record(FASTER, "accuracy")
    assert claim_record._record(replace(later, one_sided=True), "accuracy")["one_sided"] is True


def test_another_wording_is_the_same_claim() -> None:
    [record] = claim_records(with_claims(FASTER))
    reworded = {**record, SENTENCE: "0.2 wins"}
    assert pair_claims([record], [reworded]) == [(record, reworded)]
    assert differences(record, reworded) == []


def test_the_order_of_a_cells_axes_is_no_difference() -> None:
    """A stored record is sorted; a study lists its axes as it likes."""
    assert differences({"better": {"a": 1, "b": 2}}, {"better": {"b": 2, "a": 1}}) == []
    assert differences({"better": {"a": 1, "b": 2}}, {"better": {"b": 1, "a": 2}}) == ["better: a 1, b 2 -> a 2, b 1"]


def test_pairs_are_of_claims_with_most_in_common() -> None:
    old = claim_records(with_claims(FASTER, WIDE, LARGE))
    new = claim_records(with_claims(replace(LARGE, at_least=1.0, quote="Better."), replace(WIDE, margin=2.0), FASTER))
    assert sorted((old.index(before), new.index(after)) for before, after in pair_claims(old, new)) == [
        (0, 2),
        (1, 1),
        (2, 0),
    ]
    assert differences(old[2], new[0]) == ["quote: Much better without. -> Better.", "at_least: 2.0 -> 1.0"]


def test_claims_with_one_quote_are_a_pair_whatever_their_types() -> None:
    old, new = claim_records(with_claims(FASTER)), claim_records(with_claims(replace(WIDE, quote=FASTER.quote)))
    assert pair_claims(old, new) == [(old[0], new[0])]


def test_a_claim_without_a_partner_is_added_or_dropped() -> None:
    old, new = claim_records(with_claims(FASTER)), claim_records(with_claims(WIDE))
    assert pair_claims(old, new) == [(old[0], None), (None, new[0])]


@pytest.mark.parametrize("broken", [{"claim": "Unknown"}, {"claim": "Gap", "quote": ""}, {}])
def test_a_record_of_another_version_has_no_claim(broken: dict[str, str]) -> None:
    assert claim_of(broken) is None
