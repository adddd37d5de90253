"""The fields of a config class: path, type, default, meaning."""

import dataclasses
import difflib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
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
        default: as text; empty for a required field.
        meaning: its entry in the docstring of its class.
    """

    path: str
    kind: str
    default: str
    meaning: str


def list_fields(owner: Any, prefix: str = "") -> Iterator[FieldInfo]:
    """Yield every field of a config class; those of a nested config take its place."""
    meanings = attribute_docs(owner)
    for field in dataclasses.fields(owner):
        hint, path = field_types(owner)[field.name], f"{prefix}{field.name}"
        if dataclasses.is_dataclass(hint):
            yield from list_fields(hint, f"{path}.")
        else:
            default = "" if field.default is dataclasses.MISSING else str(field.default)
            yield FieldInfo(path=path, kind=describe_type(hint), default=default, meaning=meanings[field.name])


@cache
def field_paths(owner: Any) -> tuple[str, ...]:
    """Return the dotted path of every field, in order."""
    return tuple(each.path for each in list_fields(owner))


def attribute_docs(owner: type) -> dict[str, str]:
    """Return the section `Attributes` of a class's docstring, by attribute; names may share an entry."""
    meanings: defaultdict[str, str] = defaultdict(str)
    names: list[str] = []
    for line in (inspect.getdoc(owner) or "").partition("Attributes:\n")[2].splitlines():
        entry = MEANING.fullmatch(line)
        names, text = (entry[1].split(", "), entry[2]) if entry else (names, line)
        for name in names:
            meanings[name] = f"{meanings[name]} {text.strip()}".lstrip()
    return meanings


def did_you_mean(path: str, known: Sequence[str]) -> str:
    """Return the end of a message on an unknown path: paths close to it, else all paths.

    A path is close as a whole, or by its last name (`lr`).
    """
    last_names = {each: each.rpartition(".")[2] for each in known}
    close_names = difflib.get_close_matches(path.rpartition(".")[2], last_names.values(), n=3, cutoff=0.75)
    by_name = [each for each in known if last_names[each] in close_names]
    whole = difflib.get_close_matches(path, known, n=3, cutoff=0.5)
    close = whole or by_name if "." in path else by_name or whole
    return f"; did you mean {', '.join(close)}?" if close else f"; fields are {', '.join(known)}"
