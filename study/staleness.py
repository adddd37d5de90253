"""Reason why a completed trial is stale."""

from collections.abc import Mapping

from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX


def staleness_reason(record: TrialRecord, config: Mapping[str, object], input_digests: Mapping[str, str]) -> str:
    """Return what has changed between a recorded trial and the one that a study now asks for in its place.

    Args:
        config: flat config of the new trial.
        input_digests: its `revit.identity.input_digests`.
    """
    reasons = [f"{name} was {was}" for name, was in _changed(record.params, config)]
    reasons += [f"{name} changed" for name, _ in _changed(record.tags, input_digests, DIGEST_PREFIX)]
    return ", ".join(reasons)


def _changed(before: Mapping[str, str], now: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Return names and former values of what was recorded and is different now."""
    recorded = [(name, before[prefix + name]) for name in now if prefix + name in before]
    return [(name, was) for name, was in recorded if was != str(now[name])]
