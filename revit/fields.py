"""The fields of a config as a reader is told them: path, type, default, meaning, all taken from the dataclass."""

import dataclasses
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from revit.validation import describe_type, field_types

MEANING = re.compile(r"    (\w+(?:, \w+)*): (.+)")
"""First line of an entry of a docstring's section `Attributes`: names and meaning."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldInfo:
    """One field of a config.

    Attributes:
        path: its dotted path (`optimizer.lr`).
        kind: its type, in words.
        default: as text; empty where it must be given.
        meaning: what its class's docstring says of it.
    """

    path: str
    kind: str
    default: str
    meaning: str


def list_fields(owner: Any, prefix: str = "") -> Iterator[FieldInfo]:
    """Yield every field of a config's class, those of a part in the part's place."""
    meanings = attribute_docs(owner)
    for field in dataclasses.fields(owner):
        hint, path = field_types(owner)[field.name], f"{prefix}{field.name}"
        if dataclasses.is_dataclass(hint):
            yield from list_fields(hint, f"{path}.")
        else:
            default = "" if field.default is dataclasses.MISSING else str(field.default)
            yield FieldInfo(path=path, kind=describe_type(hint), default=default, meaning=meanings[field.name])


def attribute_docs(owner: type) -> dict[str, str]:
    """Return what the section `Attributes` of a class's docstring says, by attribute; names may share an entry."""
    meanings: defaultdict[str, str] = defaultdict(str)
    names: list[str] = []
    for line in (inspect.getdoc(owner) or "").partition("Attributes:\n")[2].splitlines():
        entry = MEANING.fullmatch(line)
        names, text = (entry[1].split(", "), entry[2]) if entry else (names, line)
        for name in names:
            meanings[name] = f"{meanings[name]} {text.strip()}".lstrip()
    return dict(meanings)
