"""Ledger in the format of `preregister` 0.1: the records of a study as entries that each cite the one before.

`preregister --root FOLDER verify` recomputes every hash. An entry registers a claim, or amends it where anything that
its verdict depends on has changed. The hash of the last entry names the whole history.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from study.registration.claim_record import SENTENCE, ClaimRecord, differences, pair_claims, without_words
from study.registration.record import Registration, canonical_json, digest_of

LEDGER_FILE = ".prereg/ledger.jsonl"
FIRST = "0" * 64
"""Hash that the first entry cites."""


class _Entries:
    """Entries of a ledger, each with the hash of the one before."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.last = FIRST

    def add(self, kind: str, payload: Mapping[str, Any], record: Registration) -> str:
        """Add an entry, and return its hash."""
        dirty = {"true": True, "false": False}.get(record.code.get("uncommitted changes", ""))
        header = {
            "index": len(self.lines),
            "timestamp": datetime.fromtimestamp(record.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "kind": kind,
            "payload_hash": digest_of(canonical_json(payload)),
            "prev_hash": self.last,
            "git": {"commit": record.code.get("commit") or None, "dirty": dirty},
            "author": record.user or None,
        }
        self.last = digest_of(canonical_json(header))
        self.lines.append(canonical_json({**header, "payload": payload, "hash": self.last}))
        return self.last


def ledger_text(records: Sequence[Registration]) -> str:
    """Return the ledger of a study's records, the oldest first; empty without one."""
    entries = _Entries()
    versions: dict[str, tuple[str, dict[str, Any]]] = {}
    names: dict[int, str] = {}
    former: Sequence[ClaimRecord] = ()
    for record in records:
        if not entries.lines:
            entries.add("init", {"study": dict(record.study), "question": record.question}, record)
        current: dict[int, str] = {}
        for old, new in pair_claims(former, record.claims):
            if new is None:
                continue
            name = names[id(old)] if old is not None else f"claim-{len(versions) + 1}"
            current[id(new)] = name
            frozen = _frozen(record, new)
            if name not in versions:
                versions[name] = entries.add("register", _payload(name, frozen), record), frozen
            elif versions[name][1] != frozen:
                supersedes, before = versions[name]
                changes = "; ".join(differences(_flat(before), _flat(frozen)))
                payload = {**_payload(name, frozen), "supersedes": supersedes, "reason": f"changed: {changes}"}
                versions[name] = entries.add("amend", payload, record), frozen
        former, names = record.claims, current
    return "".join(f"{line}\n" for line in entries.lines)


def _frozen(record: Registration, claim: ClaimRecord) -> dict[str, Any]:
    """Return all that the verdict on a claim depends on."""
    return {
        "schema": 1,
        "study": record.study["study"],
        "question": record.question,
        "claim": without_words(claim),
        "sentence": claim[SENTENCE],
        "seeds": list(record.seeds),
        "rule": {**record.rule, **record.design},
        "setup": dict(record.setup),
        "data": dict(record.data),
        "code": {name: value for name, value in record.code.items() if name != "commit"},
    }


def _payload(name: str, frozen: Mapping[str, Any]) -> dict[str, Any]:
    return {"prediction_id": name, "prediction_hash": digest_of(canonical_json(frozen)), "frozen": frozen}


def _flat(frozen: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{name} {key}".strip(): value
        for name, own in frozen.items()
        for key, value in (own.items() if isinstance(own, Mapping) else [("", own)])
    }
