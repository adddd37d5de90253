"""The fields of a config class: path, type, default, meaning, part in the identity of a trial.

A field is declared by one of four functions, which say how it enters the identity:

    mixup: float = neutral(0.0)                 # hashed unless it has the value at which it changes nothing
    lr: float = always(0.03)                    # hashed
    steps: int | None = derived(None)           # hashed as what follows from it: a number of steps, a digest
    micro_batch: int | None = without_effect(None)

So a new field with a neutral default renames no trial. The neutral value of a field never changes once it is released;
its default may.
"""

import dataclasses
import difflib
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any

from revit.errors import InputError
from revit.validation import describe_type, field_types

MEANING = re.compile(r"    (\w+(?:, \w+)*): (.+)")
"""First line of an entry of a docstring's section `Attributes`: names and meaning."""


class IdentityRole(StrEnum):
    """Role of a field in the identity of a trial."""

    NEUTRAL = "neutral"
    ALWAYS = "always"
    DERIVED = "derived"
    WITHOUT_EFFECT = "without effect"


def neutral(value: object, *, default: object = dataclasses.MISSING) -> Any:
    """Declare a field that enters the identity unless it has its neutral value, by default also its default."""
    start = value if default is dataclasses.MISSING else default
    return dataclasses.field(default=start, metadata={"role": IdentityRole.NEUTRAL, "neutral": value})


def always(default: object) -> Any:
    """Declare a field that has no neutral value: it enters the identity wherever it is active."""
    return dataclasses.field(default=default, metadata={"role": IdentityRole.ALWAYS})


def derived(default: object = dataclasses.MISSING) -> Any:
    """Declare a field that enters the identity as a value that follows from it; required unless it has a default."""
    return dataclasses.field(default=default, metadata={"role": IdentityRole.DERIVED})


def without_effect(default: object) -> Any:
    """Declare a field that has no effect on the result of a trial."""
    return dataclasses.field(default=default, metadata={"role": IdentityRole.WITHOUT_EFFECT})


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldInfo:
    """One field of a config.

    Attributes:
        path: its dotted path (`optimizer.lr`).
        hint: its type.
        default: as text; empty for a required field.
        meaning: its entry in the docstring of its class.
        role: how it enters the identity.
        neutral: its neutral value, where it has one.
    """

    path: str
    hint: Any
    default: str
    meaning: str
    role: IdentityRole
    neutral: object

    @property
    def kind(self) -> str:
        """Its type, in words."""
        return describe_type(self.hint)


def list_fields(owner: Any, prefix: str = "") -> Iterator[FieldInfo]:
    """Yield every field of a config class; those of a nested config take its place.

    Raises:
        InputError: a field is not declared by a function of this module.
    """
    meanings = attribute_docs(owner)
    for field in dataclasses.fields(owner):
        hint, path = field_types(owner)[field.name], f"{prefix}{field.name}"
        if dataclasses.is_dataclass(hint):
            yield from list_fields(hint, f"{path}.")
        else:
            if "role" not in field.metadata:
                raise InputError(f"{owner.__name__}.{field.name} declares no neutral value (see revit/fields.py)")
            yield FieldInfo(
                path=path,
                hint=hint,
                default="" if field.default is dataclasses.MISSING else str(field.default),
                meaning=meanings[field.name],
                role=field.metadata["role"],
                neutral=field.metadata.get("neutral"),
            )


@cache
def fields_by_path(owner: Any) -> dict[str, FieldInfo]:
    """Return every field of a config class by its dotted path, in order."""
    return {each.path: each for each in list_fields(owner)}


@cache
def values_getter(owner: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Return the function of a config that returns all of its values, in the order of `fields_by_path`."""
    return attrgetter(*fields_by_path(owner))


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
