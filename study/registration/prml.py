"""Manifests of claims in the PRML format, version 0.1: one for each claim of a record.

PRML (Pre-Registered ML Manifest, https://spec.falsify.dev/v0.1) commits a metric, a comparator, a threshold, a dataset
and a seed to the SHA-256 of their canonical YAML. The metric here is the effect of a claim, its threshold the margin:
`falsify verify FILE --observed EFFECT` compares the estimate. A verdict also needs its interval, by the decision rule
of the record, whose digest each manifest has.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import yaml

from search_spaces.framework.choices import slug
from study.registration.claim_record import PREDICATE, SENTENCE, ClaimRecord, without_words
from study.registration.record import Registration, canonical_json, digest_of

SUFFIX, SIDECAR_SUFFIX = ".prml.yaml", ".prml.prml.sha256"
"""Endings of a manifest and of the file with its hash, as PRML's reference `falsify` names them."""
MAX_NOTES_CHARS = 4096
MAX_NAME_CHARS = 60


def manifest_files(record: Registration) -> dict[str, str]:
    """Return the manifest of each claim of a record, with its hash, as texts by file name."""
    files: dict[str, str] = {}
    for number, claim in enumerate(record.claims, start=1):
        text = _canonical_yaml(_manifest(record, claim, number))
        name = f"{number:02}-{slug({claim['claim']: claim[SENTENCE]})[:MAX_NAME_CHARS].strip('-_.')}"
        files |= {f"{name}{SUFFIX}": text, f"{name}{SIDECAR_SUFFIX}": f"{digest_of(text)}\n"}
    return files


def _manifest(record: Registration, claim: ClaimRecord, number: int) -> dict[str, Any]:
    created = datetime.fromtimestamp(record.created_s, UTC).isoformat(timespec="milliseconds")
    quote = f" Quoted: {claim['quote']}" if claim.get("quote") else ""
    notes = f"{record.question} Claim: {claim[SENTENCE]}. Seeds: {', '.join(map(str, record.seeds))}.{quote}"
    manifest = {
        "version": "prml/0.1",
        "claim_id": str(_uuid7(record.created_ms, f"{record.digest} {number}")),
        "created_at": created.replace("+00:00", "Z"),
        **claim[PREDICATE],
        "metric_args": {
            "claim": without_words(claim),
            "record": record.digest,
            "rule": {**record.rule, **record.design},
        },
        "dataset": {"id": ", ".join(record.data), "hash": digest_of(canonical_json(record.data))},
        "seed": record.seeds[0] if len(record.seeds) == 1 else None,
        "producer": {"id": record.user or "unknown"},
        "notes": notes[:MAX_NOTES_CHARS],
    }
    return _normalized(manifest)  # type: ignore[no-any-return]  # a mapping stays one


def _normalized(value: Any) -> Any:
    """Return values with their texts in Unicode NFC, which PRML requires."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, Mapping):
        return {_normalized(key): _normalized(each) for key, each in value.items()}
    return [_normalized(each) for each in value] if isinstance(value, list | tuple) else value


def _canonical_yaml(manifest: Mapping[str, Any]) -> str:
    """Return the bytes that PRML hashes: block style, sorted keys, lines of any length, one newline at the end."""
    text: str = yaml.safe_dump(
        dict(manifest), default_flow_style=False, sort_keys=True, width=float("inf"), allow_unicode=True
    )
    return f"{text.rstrip()}\n"


def _uuid7(created_ms: int, name: str) -> UUID:
    """Return the UUID, version 7, of a time and a name: the same each time."""
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:10])
    rand_a, rand_b = digest >> 68, digest & ((1 << 62) - 1)
    return UUID(int=created_ms << 80 | 7 << 76 | rand_a << 64 | 2 << 62 | rand_b)
