"""Reasons why a recorded trial is stale: what a study asks for now differs from it."""

from collections.abc import Mapping
from typing import Any

from revit.config import FineTuneConfig
from revit.fields import IdentityRole, fields_by_path
from revit.identity import function_names
from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX


def staleness_reason(record: TrialRecord, config: FineTuneConfig, input_digests: Mapping[str, str]) -> str:
    """Return what has changed between a recorded trial and the one that a study now asks for in its place.

    Args:
        config: config of the new trial.
        input_digests: its `revit.identity.InputDigests.by_name`.
    """
    owner: Any = type(config)
    fields, values = fields_by_path(owner), config.flat()
    reasons: list[str] = []
    for path in [*fields, *(each for each in record.params if each not in fields)]:
        if path not in fields:
            reasons.append(f"{path} was {record.params[path]}, and is no longer a field")
        elif path not in record.params:
            if fields[path].role is IdentityRole.NEUTRAL and values[path] != fields[path].neutral:
                reasons.append(f"{path} is {values[path]}, and was not a field")
        elif fields[path].role is not IdentityRole.WITHOUT_EFFECT and record.params[path] != str(values[path]):
            reasons.append(f"{path} was {record.params[path]}")
    recorded = {name: record.tags.get(f"{DIGEST_PREFIX}{name}") for name in input_digests}
    new_functions = {name for name in function_names(config) if recorded.get(name) is None}  # their fields are named
    changed = (name for name, digest in recorded.items() if digest != input_digests[name])
    reasons += [f"{name} changed" for name in changed if name not in new_functions]
    return ", ".join(reasons)
