"""Reasons why a recorded trial is stale: what a study asks for now differs from it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from revit.config import FineTuneConfig
from revit.datasets.registry import label_test_set
from revit.fields import IdentityRole, fields_by_path
from revit.identity import function_names, name_test_set_digest
from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX


class Change(NamedTuple):
    """A difference between a recorded trial and one that is asked for.

    Attributes:
        name: a config field, or an input of `revit.identity.InputDigests.by_name`.
        before, after: its values; None where it was not a field, or is no longer one.
        is_input: it is an input, whose values are digests.
    """

    name: str
    before: str | None
    after: str | None
    is_input: bool = False

    def __str__(self) -> str:
        if self.is_input:
            return f"{self.name} changed"
        if self.after is None:
            return f"{self.name} was {self.before}, and is no longer a field"
        return (
            f"{self.name} was {self.before}"
            if self.before is not None
            else f"{self.name} is {self.after}, and was not a field"
        )


def staleness_reason(record: TrialRecord, config: FineTuneConfig, input_digests: Mapping[str, str]) -> str:
    """Return what has changed between a recorded trial and the one that a study now asks for in its place.

    Args:
        config: config of the new trial.
        input_digests: its `revit.identity.InputDigests.by_name`.
    """
    return ", ".join(map(str, changes(record, config, input_digests)))


def changes(record: TrialRecord, config: FineTuneConfig, input_digests: Mapping[str, str]) -> list[Change]:
    """Return the differences between a recorded trial and one that is asked for; see `staleness_reason`."""
    recorded = {name: record.tags.get(f"{DIGEST_PREFIX}{name}") for name in input_digests}
    named = {*function_names(config), *map(name_test_set_digest, map(label_test_set, config.test_sets))}
    new = {name for name in named if recorded.get(name) is None}  # their fields are named
    inputs = [
        Change(name, digest, input_digests[name], is_input=True)
        for name, digest in recorded.items()
        if digest != input_digests[name] and name not in new
    ]
    return [*_changed_fields(record, config), *inputs]


def _changed_fields(record: TrialRecord, config: FineTuneConfig) -> Iterator[Change]:
    owner: Any = type(config)
    fields, values = fields_by_path(owner), config.flat()
    for path in [*fields, *(each for each in record.params if each not in fields)]:
        if path not in fields:
            yield Change(path, record.params[path], None)
        elif path not in record.params:
            if fields[path].role is IdentityRole.NEUTRAL and values[path] != fields[path].neutral:
                yield Change(path, None, str(values[path]))
        elif fields[path].role is not IdentityRole.WITHOUT_EFFECT and record.params[path] != str(values[path]):
            yield Change(path, record.params[path], str(values[path]))
