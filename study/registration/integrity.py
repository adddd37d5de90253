"""Integrity of stored records: each has its digest, none that is cited is missing."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from study.registration.history import History
from study.registration.record import digest_of

SHOWN = 12
"""Digits of a digest in a message."""


def find_faults(history: History) -> Iterator[str]:
    """Yield a line for each record that was changed, or that is missing."""
    found = {record.digest for record in history.records}
    named: set[str] = set()
    for each in history.stored:
        when = f"of the launch of {date_text(each.start_s)}"
        if each.digest and not each.text:
            yield f"the record {when} is missing: its digest is {each.digest[:SHOWN]}"
        elif each.digest and digest_of(each.text) != each.digest:
            now, before = digest_of(each.text)[:SHOWN], each.digest[:SHOWN]
            yield f"the record {when} was changed: its digest is {now}, stored is {before}"
        elif each.text and digest_of(each.text) not in found:
            yield f"the record {when} cannot be read"
        named.add(each.digest)
    for record in history.records:
        if record.previous and record.previous not in found | named:
            named.add(record.previous)
            when = date_text(record.created_s)
            yield f"a record before that of {when} is missing: its digest is {record.previous[:SHOWN]}"
    cited = Counter(each.registration for each in history.results if each.registration)
    for digest, count in cited.items():
        if digest not in found | named | history.known_digests:
            yield f"a record is missing that {count} trials began under: its digest is {digest[:SHOWN]}"


def date_text(seconds: float) -> str:
    """Return a time in seconds since 1970 for a reader."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
