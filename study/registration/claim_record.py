"""Claims as plain values: what a record keeps of each, as a study tests it."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from itertools import product
from typing import Any, get_args

from revit.training.metrics import find_metric
from search_spaces.framework.claim_cells import Words
from search_spaces.framework.claims import BetterThan, Claim, InRange, Matches, NoDifference, restate_claim
from search_spaces.framework.space import SearchSpace
from study.analysis.claim_tests import effect_bounds

ClaimRecord = Mapping[str, Any]
"""Values of a claim by field, with `claim` (its type), `metric`, `sentence` and `predicate`, as JSON has them."""
SENTENCE, PREDICATE = "sentence", "predicate"
"""Keys of the claim in words, and as a quantity with its comparator and threshold. A later version may word both
differently: two records of one claim may differ by them."""
DERIVED = (SENTENCE, PREDICATE)

TYPES = {each.__name__: each for each in get_args(Claim)}


def claim_records(space: SearchSpace) -> list[ClaimRecord]:
    """Return the record of each claim of a study, with the values that its trials are trained with."""
    trained = space.trained_values if space.claims else {}
    return [_record(restate_claim(claim, trained), space.metric) for claim in space.claims]


def _record(claim: Claim, study_metric: str) -> ClaimRecord:
    """Return the record of a claim. A field that has its default is left out: later versions may add fields."""
    own = {each.name: getattr(claim, each.name) for each in fields(claim)}
    defaults = {each.name: _default(each) for each in fields(claim)}
    stated = {name: _plain(value) for name, value in own.items() if value != defaults[name]}
    name = claim.metric or study_metric
    metric = find_metric(name)
    words = Words(metric.title, metric.difference_unit, "higher" if metric.sign == 1 else "lower")
    derived = {SENTENCE: claim.describe(words), PREDICATE: _predicate(claim, words)}
    return {"claim": type(claim).__name__, **stated, "metric": name, **derived}


def _predicate(claim: Claim, words: Words) -> dict[str, Any]:
    """Return the quantity that a claim is about, with the bound that its estimate has to be beyond.

    Of two bounds, it is the lower one; that of an equivalence is of the absolute value.
    """
    unit = "%" if isinstance(claim, BetterThan) and claim.relative else words.unit
    name = f"effect on {words.metric}, {unit}"
    if isinstance(claim, NoDifference | Matches):
        return {"metric": f"absolute {name}", "comparator": "<", "threshold": float(claim.margin)}
    name = f"{words.metric}, {unit.replace('pp', '%')}" if isinstance(claim, InRange) else name
    bound, side = max(effect_bounds(claim), key=lambda each: each[1])
    return {"metric": name, "comparator": ">" if side == 1 else "<", "threshold": float(bound)}


def claim_of(record: ClaimRecord) -> Claim | None:
    """Return the claim of a record; None where this version has no such claim."""
    kind = TYPES.get(str(record.get("claim")))
    if kind is None:
        return None
    names = {each.name for each in fields(kind)}
    values = {name: _typed(name, value) for name, value in record.items() if name in names}
    try:
        return kind(**values)  # type: ignore[no-any-return]  # of the union
    except (TypeError, ValueError):
        return None


def without_words(record: ClaimRecord) -> dict[str, Any]:
    """Return all that decides what a claim says: its record without what is derived from it."""
    return {name: value for name, value in record.items() if name not in DERIVED}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return a text for each value that differs, such as `margin: 1 -> 2`."""
    names = [*old, *(name for name in new if name not in old)]
    shown = {name: (_text(old.get(name)), _text(new.get(name))) for name in names if name not in DERIVED}
    return [f"{name}: {before} -> {after}" for name, (before, after) in shown.items() if before != after]


Pair = tuple[ClaimRecord | None, ClaimRecord | None]
"""A claim before and after; None where there was, or is, none."""


def pair_claims(old: Sequence[ClaimRecord], new: Sequence[ClaimRecord]) -> list[Pair]:
    """Return each claim of one record with what it became in another.

    Equal claims are pairs. Of the others, those with most values in common are: with the same quote, or with the same
    type and half of their values.
    """
    before, after = list(old), list(new)
    pairs: list[Pair] = []
    for each in old:
        same = next((other for other in after if without_words(other) == without_words(each)), None)
        if same is not None:
            pairs.append((each, same))
            before.remove(each)
            after.remove(same)
    ranked = sorted(product(before, after), key=lambda pair: _num_common(*pair), reverse=True)
    for one, other in ranked:
        if _is_alike(one, other) and any(one is each for each in before) and any(other is each for each in after):
            pairs.append((one, other))
            before = [each for each in before if each is not one]
            after = [each for each in after if each is not other]
    return [*pairs, *((each, None) for each in before), *((None, each) for each in after)]


def _num_common(one: ClaimRecord, other: ClaimRecord) -> int:
    return sum(without_words(other).get(name) == value for name, value in without_words(one).items())


def _is_alike(one: ClaimRecord, other: ClaimRecord) -> bool:
    has_same_quote = bool(one.get("quote")) and one.get("quote") == other.get("quote")
    return has_same_quote or (one["claim"] == other["claim"] and 2 * _num_common(one, other) >= len(without_words(one)))


def _default(each: Any) -> Any:
    if each.default is not MISSING:
        return each.default
    return each.default_factory() if each.default_factory is not MISSING else MISSING


def _plain(value: Any) -> Any:
    """Return a value as JSON has it. Published accuracies become pairs: their keys need not be text."""
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(each) for key, each in value.items()}
        return [[key, each] for key, each in value.items()]
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _typed(name: str, value: Any) -> Any:
    """Return a value of JSON as a claim has it."""
    if name == "published":
        return dict(value) if isinstance(value, list) else value
    if isinstance(value, Mapping):
        return {key: _typed("", each) for key, each in value.items()}
    return tuple(_typed("", each) for each in value) if isinstance(value, list) else value


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(value[key])}" for key in sorted(value)) or "none"
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)
