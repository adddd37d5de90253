"""Choices over a search space: fixed values over its own, some of its cells, another search.

    with_settings(space, {"optimizer.lr": 0.3, "steps": 50})     # another study: quickstart-optimizer.lr-0.3-steps-50
    with_cells(space, {"optimizer": ("sgd",)})                   # the same study, some of its trials
    with_search(space, sampler="tpe", num_trials=32)             # the same study, searched differently

Settings are values as trained: they come after recipe and scale.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from revit.config import FineTuneConfig
from revit.errors import InputError, UnknownFieldError
from revit.fields import did_you_mean, fields_by_path
from revit.validation import parse_text, short_repr
from search_spaces.framework.axes import Axis, fields_of, levels_of
from search_spaces.framework.claim_cells import Value, short_names
from search_spaces.framework.space import SearchSpace

BUDGETS = {"steps": "epochs", "epochs": "steps"}
"""The other budget, which one replaces."""
MAX_NAME_CHARS = 80
"""Maximum length of the part of a name that says what is set."""


def parse_assignments(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Return the texts NAME=VALUE of an option by their names; the last counts.

    Raises:
        InputError: a text has no name or no value.
    """
    parts = [text.partition("=") for text in texts]
    for name, _, value in parts:
        if not name or not value:
            raise InputError(f"{option} {short_repr(name)}: must be NAME=VALUE")
    return {name.strip(): value.strip() for name, _, value in parts}


def parse_value(path: str, text: str) -> object:
    """Return a text as a value of a config field, by the field's type; text that does not fit is returned unchanged.

    Raises:
        InputError: an unknown path (the message names close ones).
    """
    return parse_text(_type_of(path), text)


def with_settings(space: SearchSpace, settings: Mapping[str, object]) -> SearchSpace:
    """Return a study of its own, with the values set in every trial; its name says which.

    Raises:
        InputError: an unknown path, an invalid value, or a field after which an axis or its levels are named.
    """
    if not settings:
        return space
    fields: dict[str, object] = {}
    for path, value in settings.items():
        _type_of(path)
        if path == "seed":
            raise InputError("seed cannot be set: give the number of seeds, or `seeds`")
        fields |= {BUDGETS[path]: None, path: value} if path in BUDGETS else {path: value}
    for path in fields:
        for name, axis in space.scientific.items():
            _check_free(path, name, axis, space.name)
        for name in {path} & fields_of(space.nuisance):
            raise InputError(f"{name} cannot be set: {space.name} tunes it in each cell; see `nuisance` in its file")
    chosen = replace(space, name=f"{space.name}-{slug(settings)}", settings={**space.settings, **fields})
    if _num_alike(chosen) > _num_alike(space):
        raise InputError(f"{space.name}: with {', '.join(settings)} set, two of its points would train the same")
    return chosen


def with_cells(space: SearchSpace, cells: Mapping[str, Sequence[object]]) -> SearchSpace:
    """Return the same study with the trials of some of its cells.

    Args:
        cells: values as the study names them, or their texts, by what `find_axis` finds.

    Raises:
        InputError: an unknown axis or value (the message names the known ones), or no cell at all.
    """
    chosen: dict[str, tuple[Value, ...]] = {}
    for given, values in cells.items():
        name = find_axis(space, given)
        labels = [label for label, _ in levels_of(name, space.scientific[name])]
        chosen[name] = tuple(_find(value, labels, name, space.name) for value in values)
    return replace(space, cells={**space.cells, **chosen})


def find_axis(space: SearchSpace, name: str) -> str:
    """Return a scientific axis by its name or its short name, as tables have it: `schedule` for `schedule.name`.

    Raises:
        InputError: there is none (the message names the known ones).
    """
    axes = [*space.scientific]
    found = name if name in axes else dict(zip(short_names(axes), axes, strict=True)).get(name)
    if found is None:
        raise InputError(f"{space.name} has no scientific axis {short_repr(name)}: {', '.join(axes)}")
    return found


def with_search(
    space: SearchSpace,
    *,
    sampler: str | None = None,
    num_trials: int | None = None,
    time_budget_s: float | None = None,
    pruner: str | None = None,
) -> SearchSpace:
    """Return the same study with some values of its search replaced; None leaves a value unchanged.

    Args:
        pruner: one of Search, or `none` for none.

    Raises:
        InputError: an invalid value, or a study without nuisance axes.
    """
    given: dict[str, Any] = {"sampler": sampler, "num_trials": num_trials, "time_budget_s": time_budget_s}
    chosen = {name: value for name, value in {**given, "pruner": pruner}.items() if value is not None}
    if not chosen:
        return space
    if not space.is_searched:
        options = ", ".join(f"{name} = {short_repr(value)}" for name, value in chosen.items())
        raise InputError(f"{options}: {space.name} must have nuisance axes, and there is nothing to search in it")
    if pruner == "none":
        chosen["pruner"] = None
    return replace(space, search=replace(space.search, **chosen))


def split_values(space: SearchSpace, cells: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the values of axes, separated by commas; a label that has a comma is one value.

    Raises:
        InputError: an unknown axis.
    """
    labels = {name: [str(label) for label, _ in levels_of(name, axis)] for name, axis in space.scientific.items()}
    texts = {find_axis(space, given): text for given, text in cells.items()}
    return {name: [text] if text in labels[name] else text.split(",") for name, text in texts.items()}


def slug(values: Mapping[str, object]) -> str:
    """Return a name for values of fields or axes that can be a folder's: `optimizer.lr-0.3-steps-50`."""
    parts = [(path, value if isinstance(value, list | tuple) else [value]) for path, value in sorted(values.items())]
    text = "-".join(f"{path}-{'-'.join(map(str, each))}" for path, each in parts)
    plain = re.sub(r"[^\w.-]+", "_", text)[:MAX_NAME_CHARS]
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _type_of(path: str) -> Any:
    known = fields_by_path(FineTuneConfig)
    if path not in known:
        raise UnknownFieldError(f"{short_repr(path)} is not a config field{did_you_mean(path, list(known))}")
    return known[path].hint


def _check_free(path: str, name: str, axis: Axis, study: str) -> None:
    """Raise InputError if the levels of an axis are named after values of a field."""
    levels = levels_of(name, axis)
    if name == path or any(fields.get(path) == label for label, fields in levels):
        labels = ",".join(str(label) for label, _ in levels)
        raise InputError(f"{path} cannot be set: axis {name} of {study} compares {labels}; choose with --only {name}=")


def _num_alike(space: SearchSpace) -> int:
    """Return how many points of a space have the config of an earlier one."""
    configs = [each.config for each in space.candidates(space.seeds[:1])]
    return len(configs) - len(set(configs))


def _find(value: object, labels: Sequence[Value], axis: str, study: str) -> Value:
    """Return the label that a value or its text names."""
    for label in labels:
        if str(label) == str(value) or label == parse_text(type(label), str(value)):
            return label
    raise InputError(f"axis {axis} of {study} has no value {short_repr(value)}: {', '.join(map(str, labels))}")
