"""Why a trial that was done once is to be trained again: what has changed since."""

from collections.abc import Mapping

from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX


def changes(record: TrialRecord, config: Mapping[str, object], input_digests: Mapping[str, str]) -> str:
    """What is different between a trial that was done and one that now has its place in the study.

    Args:
        config: flat, of the new one.
        input_digests: what decides its result beside its config (`revit.identity.input_digests`).
    """
    told = [f"{name} was {was}" for name, was in _other(record.params, config)]
    told += [f"{name} changed" for name, _ in _other(record.tags, input_digests, DIGEST_PREFIX)]
    return ", ".join(told)


def _other(before: Mapping[str, str], now: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Names and former values of what was recorded and is different now."""
    recorded = [(name, before[prefix + name]) for name in now if prefix + name in before]
    return [(name, was) for name, was in recorded if was != str(now[name])]
