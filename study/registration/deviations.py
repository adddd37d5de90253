"""Deviations of a study from its records: what was stated, changed or dropped once results were there."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from search_spaces.framework.sequential_design import SequentialDesign
from study.registration.claim_record import SENTENCE, ClaimRecord, claim_of, differences, pair_claims, without_words
from study.registration.code_version import JUDGING, TRAINING
from study.registration.history import History, Key, Result
from study.registration.integrity import date_text, find_faults
from study.registration.record import Registration

Kind = Literal["registered", "late", "added", "changed", "unregistered"]
NEVER = "not registered: run before registration existed"


@dataclass(frozen=True, kw_only=True)
class ClaimStatus:
    """Time at which a claim was registered, in comparison with the results of its trials.

    Attributes:
        kind: `registered` before all of its results, or `late` in the study's first record, after some of them;
            `added` or `changed` later, after some of them; `unregistered`: in no record.
        num_seen: trials that had results by then.
        num_trials: all of its trials.
        text: the same for a reader, a few words.
    """

    kind: Kind
    num_seen: int
    num_trials: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """Difference from what was registered.

    Attributes:
        kind: of what: `claim`, `seeds`, `question`, `rule`, `setup`, `data`, `code` or `record`.
        text: one line.
        details: each value that differs, before and after.
    """

    kind: str
    text: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RegistrationReport:
    """Statements of a report on registration.

    Attributes:
        claims: status of each claim, in the order of the study.
        deviations: in the order in which they came about.
        num_records: records that launches of the study have stored.
        head: digest of the newest; empty for none.
        has_results: whether a trial has any.
    """

    claims: Sequence[ClaimStatus]
    deviations: Sequence[Deviation]
    num_records: int
    head: str
    has_results: bool

    @property
    def summary(self) -> str:
        """Summary in one line, beside the deviations."""
        if not self.num_records:
            return NEVER if self.has_results else "not registered yet: no trial has run"
        number = "1 record" if self.num_records == 1 else f"{self.num_records} records"
        return f"{number} of launches, the newest with the SHA-256 {self.head}"


def compare(history: History, today: Registration) -> RegistrationReport:
    """Compare a study as it is now with its records.

    Args:
        today: record of the study as it is reported, which no launch has stored.
    """
    versions = [*history.records, today]
    return RegistrationReport(
        claims=[_claim_status(claim, versions, history) for claim in today.claims],
        deviations=[
            *(Deviation(kind="record", text=fault) for fault in find_faults(history)),
            *_late_claims(versions, history),
            *(each for number in range(1, len(versions)) for each in _changes(number, versions, history)),
        ],
        num_records=len(history.records),
        head=history.records[-1].digest if history.records else "",
        has_results=bool(history.results),
    )


def _claim_status(claim: ClaimRecord, versions: Sequence[Registration], history: History) -> ClaimStatus:
    first = _first_with(claim, versions)
    keys = history.keys_of(claim_of(claim))
    num_seen, num_all = len(keys & history.seen(first)), len(keys)
    kind, text = _describe_status(claim, first, num_seen, num_all, versions, history)
    return ClaimStatus(kind=kind, num_seen=num_seen, num_trials=num_all, text=text)


def _describe_status(
    claim: ClaimRecord,
    first: int,
    num_seen: int,
    num_all: int,
    versions: Sequence[Registration],
    history: History,
) -> tuple[Kind, str]:
    is_stored, count = first < len(history.records), f"{num_seen} of {num_all} trials"
    if not history.records:
        if not history.results:
            return "unregistered", "not registered yet: no trial has run"
        is_earlier = not any(each.registration and each.is_own for each in history.results)
        return "unregistered", NEVER if is_earlier else "not registered: the record of its trials is missing"
    if not num_seen:
        return ("registered", f"registered before all {num_all} trials") if is_stored else ("unregistered", _new())
    if first == 0:
        return "late", f"registered after {count}{_why_late(claim, history)}"
    former = _former(claim, versions[: first + 1])
    suffix = "" if is_stored else ", in no record"
    if former is None:
        return "added", f"added after {count}{suffix}"
    return "changed", f"changed after {count}{suffix}"


def _new() -> str:
    return "not registered yet: the next launch does"


def _why_late(claim: ClaimRecord, history: History) -> str:
    """Return why trials had results before the first record: an earlier version, or another study, ran them."""
    keys = history.keys_of(claim_of(claim))
    early = [result for result in history.results_before(0) if result.key in keys]
    reasons = Counter(_reason(result) for result in early)
    return f": {', '.join(f'{count} {reason}' for reason, count in reasons.items())}"


def _reason(result: Result) -> str:
    if not result.is_own:
        return "run for another study"
    return "run before this record" if result.registration else "run before registration existed"


def _first_with(claim: ClaimRecord, versions: Sequence[Registration]) -> int:
    """Return the number of the first record with a claim."""
    return next(number for number, each in enumerate(versions) if _has(each, claim))


def _has(version: Registration, claim: ClaimRecord) -> bool:
    return any(without_words(each) == without_words(claim) for each in version.claims)


def _former(claim: ClaimRecord, versions: Sequence[Registration]) -> ClaimRecord | None:
    """Return what a claim was before the last of some records, which is the first with it; None for nothing alike."""
    *earlier, last = versions
    for version in reversed(earlier):
        pairs = pair_claims(version.claims, last.claims)
        former = next(old for old, new in pairs if new is not None and without_words(new) == without_words(claim))
        if former is not None:
            return former
    return None


def _late_claims(versions: Sequence[Registration], history: History) -> Iterator[Deviation]:
    """Yield the claims whose results another study had before they were first registered."""
    if not history.records:
        return
    for claim in versions[0].claims:
        keys = history.keys_of(claim_of(claim))
        early = {each.key for each in history.results_before(0) if not each.is_own or each.registration} & keys
        if early:
            text = f"claim registered after {len(early)} of its {len(keys)} trials{_why_late(claim, history)}"
            yield Deviation(kind="claim", text=f"{text}: {claim[SENTENCE]}")


def _changes(number: int, versions: Sequence[Registration], history: History) -> Iterator[Deviation]:
    """Yield what a record has changed that came after results."""
    seen = history.seen(number)
    if not seen:
        return
    before, after = versions[number - 1], versions[number]
    is_today = number == len(history.records)
    yield from _claim_changes(before, after, seen, history)
    yield from _seed_changes(number, versions, len(seen))
    when = f"after {len(seen)} trials had results" + (
        "" if is_today else f", by the launch of {date_text(after.created_s)}"
    )
    if before.question != after.question:
        yield Deviation(
            kind="question", text=f"question changed {when}", details=(f"{before.question} -> {after.question}",)
        )
    compared: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
        "decision rule": (_rule(before, is_today), _rule(after, is_today)),
        "setup": (_flat(before.setup), _flat(after.setup)),
        "data": _common(before.data, after.data),
        "code": (_code(before, is_today), _code(after, is_today)),
    }
    for name, (old, new) in compared.items():
        if details := differences(old, new):
            yield Deviation(kind=name.split()[-1], text=f"{name} changed {when}", details=tuple(details))


def _claim_changes(
    before: Registration, after: Registration, seen: frozenset[Key], history: History
) -> Iterator[Deviation]:
    for old, new in pair_claims(before.claims, after.claims):
        keys = frozenset().union(*(history.keys_of(claim_of(each)) for each in (old, new) if each is not None))
        num_seen = len(keys & seen) if keys else len(seen)
        if not num_seen:
            continue
        when = f"after {num_seen} of {len(keys)} trials" if keys else f"after {num_seen} trials of the study"
        if old is None and new is not None:
            yield Deviation(kind="claim", text=f"claim added {when}: {new[SENTENCE]}")
        elif new is None and old is not None:
            yield Deviation(kind="claim", text=f"claim dropped {when}: {old[SENTENCE]}")
        elif old is not None and new is not None and (details := differences(old, new)):
            yield Deviation(kind="claim", text=f"claim changed {when}: {new[SENTENCE]}", details=tuple(details))


def _seed_changes(number: int, versions: Sequence[Registration], num_seen: int) -> Iterator[Deviation]:
    before, after = versions[number - 1], versions[number]
    planned = {seed for each in versions[:number] for seed in (*each.seeds, *_allowed_seeds(each))}
    added = [seed for seed in after.seeds if seed not in planned]
    left_out = [seed for seed in before.seeds if seed not in after.seeds]
    for names, verb in ((added, "added"), (left_out, "left out")):
        if names:
            yield Deviation(kind="seeds", text=f"seeds {_list(names)} {verb} after {num_seen} trials had results")


def _rule(version: Registration, is_today: bool) -> Mapping[str, str]:
    """Return the decision rule that counts: a report has no design of its own."""
    return version.rule if is_today else {**version.rule, **version.design}


def _allowed_seeds(version: Registration) -> range:
    """Return the seeds that a record's sequential design may add."""
    design = SequentialDesign.from_text(version.design)
    return range(0 if design is None else design.largest)


def _flat(setup: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        f"{name} {key}" if name != "fields" else key: value for name, own in setup.items() for key, value in own.items()
    }


def _common(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the digests that two records both have: which datasets a study uses is part of its setup."""
    texts = [
        {f"{name} {key}": each for name, own in data.items() for key, each in own.items()} for data in (before, after)
    ]
    old, new = texts
    both = old.keys() & new.keys()
    return {name: old[name] for name in old if name in both}, {name: new[name] for name in new if name in both}


def _code(version: Registration, is_today: bool) -> dict[str, str]:
    """Return the digests of code that count: a report trains nothing."""
    names = JUDGING if is_today else (TRAINING, *JUDGING)
    return {name: version.code.get(name, "") for name in names}


def _list(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
