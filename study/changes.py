"""Why a trial that was done once is to be trained again: what has changed since."""

from collections.abc import Iterable, Mapping

from study.ledger import TrialRecord

ORIGIN_TAG = "origin."
"""Prefix of the tags that keep a trial's origin: digests of its data and weights, the training version."""


def changes(
    wanted: Mapping[str, str], config: Mapping[str, object], origin: Mapping[str, str], records: Iterable[TrialRecord]
) -> str:
    """What has changed since a trial of the same place in its study was done; empty where there was none.

    Args:
        wanted: the tags that say its place: recipe and scale, study and cell there, seed.
        config: its flat config.
        origin: of its result, beside the config (`revit.identity.origin`).
        records: of trials that the study does not ask for any more.
    """
    for record in records:
        if record.settled and all(record.tags.get(name) == value for name, value in wanted.items()):
            told = [f"{name} was {was}" for name, was in _other(record.params, config)]
            told += [f"{name} changed" for name, _ in _other(record.tags, origin, ORIGIN_TAG)]
            return f"{', '.join(told)} (run {record.run_id})"
    return ""


def _other(before: Mapping[str, str], now: Mapping[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """Names and former values of what was recorded and is different now."""
    recorded = [(name, before[prefix + name]) for name in now if prefix + name in before]
    return [(name, was) for name, was in recorded if was != str(now[name])]
