"""Verification of stored registrations: every digest, every manifest, every time is computed again."""

from collections.abc import Iterator, Mapping

from study.layout import REGISTRATION
from study.ledger.records import TrialRecord
from study.ledger.schema import REGISTRATION_TAG
from study.registration.history import History
from study.registration.integrity import SHOWN, date_text, find_faults
from study.registration.prereg_ledger import LEDGER_FILE, ledger_text
from study.registration.prml import manifest_files
from study.registration.record import Registration, digest_of

CLOCK_TOLERANCE_S = 60.0
"""Maximum difference between the clocks of machines that share a store."""


def find_disagreements(history: History, records: Mapping[str, TrialRecord]) -> Iterator[str]:
    """Yield a line for each digest, manifest or time that does not agree with the others.

    Args:
        records: every trial of the ledger by identity.
    """
    yield from find_faults(history)
    by_digest = {record.digest: record for record in history.records}
    for each in history.stored:
        record = by_digest.get(digest_of(each.text)) if each.text else None
        if record is None:
            continue
        when = date_text(each.start_s)
        for name, text in launch_files(record).items():
            if each.files.get(name) != text:
                how = "differs from its record" if name in each.files else "is missing"
                yield f"{name} of the launch of {when} {how}"
        if abs(record.created_s - each.start_s) > CLOCK_TOLERANCE_S:
            yield f"the record of the launch of {when} says that it is of {date_text(record.created_s)}"
    for trial in records.values():
        record = by_digest.get(trial.tags.get(REGISTRATION_TAG, ""))
        if record is not None and trial.start_s and trial.start_s < record.created_s - CLOCK_TOLERANCE_S:
            began, digest = date_text(trial.start_s), record.digest[:SHOWN]
            yield f"trial {trial.identity} began on {began}, before the record {digest} that it cites"


def launch_files(record: Registration) -> dict[str, str]:
    """Return what a launch keeps of a record: texts by file name."""
    return {REGISTRATION: record.to_json(), **manifest_files(record)}


def report_files(history: History) -> dict[str, str]:
    """Return what a report keeps of a history: the newest record with its manifests, and the ledger of all records."""
    if not history.records:
        return {}
    return {**launch_files(history.records[-1]), LEDGER_FILE: ledger_text(history.records)}
