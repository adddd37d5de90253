"""Settings of a study's trials: every active config field with its value, or how it differs between cells."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from operator import attrgetter
from typing import Any

from revit.active_fields import ACTIVE
from revit.config import FineTuneConfig
from revit.fields import IdentityRole, fields_by_path
from search_spaces.framework.axes import fields_of
from search_spaces.framework.claim_cells import Value
from study.plan import Plan
from study.report.axis_words import axis_titles, value_title
from study.report.setting_words import WORDS, short

ALWAYS_STATED = frozenset({"train_crop", "hflip", "loss", "optimizer.weight_decay", "selection"})
"""Fields that a paper states even where their value changes nothing."""
UNREMARKABLE: Mapping[str, object] = {
    "data_fraction": 1.0,
    "epoch_images": "used",
    "schedule.warmup": 0,
    "test": True,
    "test_curve": False,
}
"""Values that are not worth a word, of fields whose neutral value or predicate does not say so."""
MAX_LISTED = 4
"""Values of a number that a sentence lists; of more it has the range."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A config field with its values over the cells of a study.

    Attributes:
        texts: text of each value, with the cells that have it: in words, empty for all or where the values say it.
        numbers: the values, where all are numbers.
        is_tuned: a search chose it in each cell.
        is_open: a search that is not over is to choose it.
    """

    path: str
    texts: Mapping[str, str]
    numbers: tuple[float, ...] = ()
    is_tuned: bool = False
    is_open: bool = False

    @property
    def title(self) -> str:
        """Its name in words."""
        return WORDS[self.path].title

    @property
    def value(self) -> str:
        """Its values with their cells: `0.1 (sgd), 0.001 (adam)`."""
        return ", ".join(self._with_cells()) + (" (tuned in each cell)" if self.is_tuned else "")

    @property
    def phrase(self) -> str:
        """Its words in a sentence: `a learning rate of 0.1 (sgd) or 0.001 (adam)`."""
        if self.is_open:
            return f"the {self.title} still to be tuned"
        if list(self.texts) == ["none"]:
            return f"no {self.title}"
        texts = self._with_cells()
        if len(self.numbers) > MAX_LISTED and (self.is_tuned or not any(self.texts.values())):
            low, high = min(self.numbers), max(self.numbers)
            texts = [f"{short(low)} to {WORDS[self.path].text(high)}"]
        return WORDS[self.path].phrase(join(texts, "or")) + (", tuned in each cell" if self.is_tuned else "")

    def _with_cells(self) -> list[str]:
        return [f"{text} ({cells})" if cells else text for text, cells in self.texts.items()]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"field": self.path, "title": self.title, "value": self.value, "tuned": self.is_tuned}


def join(texts: Sequence[str], word: str) -> str:
    """Return texts as a list in a sentence: `a, b and c`."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {word} {texts[-1]}"


def is_stated(path: str, config: FineTuneConfig) -> bool:
    """Return whether a field has to be stated: it can have an effect, and has not the value without one."""
    owner: Any = type(config)
    field, value = fields_by_path(owner)[path], attrgetter(path)(config)
    if path == "num_evals":
        return config.val_fraction > 0 and config.eval_every is None
    if path not in ("eval_every", "test", "test_curve", "test_sets") and path in ACTIVE and not ACTIVE[path](config):
        return False
    if path in ALWAYS_STATED:
        return True
    is_neutral = field.role is IdentityRole.NEUTRAL and value == field.neutral
    return value is not None and not is_neutral and not (path in UNREMARKABLE and value == UNREMARKABLE[path])


def settings(plan: Plan) -> list[Setting]:
    """Return the settings of the tested trials, in the order of the fields; without dataset and seeds."""
    cells: dict[tuple[Value, ...], tuple[Mapping[str, Value], FineTuneConfig]] = {}
    for trial in plan.trials:
        candidate = trial.candidate
        cells.setdefault(tuple(candidate.requested_values.values()), (candidate.cell, candidate.config))
    tuned = fields_of(plan.space.nuisance_axes)
    is_open = any(trial.awaits for trial in plan.trials)
    found = [_setting(path, [*cells.values()], tuned=tuned, is_open=is_open and path in tuned) for path in WORDS]
    return [each for each in found if each is not None and each.path not in ("dataset", "seed")]


def _setting(
    path: str,
    cells: Sequence[tuple[Mapping[str, Value], FineTuneConfig]],
    *,
    tuned: Collection[str],
    is_open: bool,
) -> Setting | None:
    """Return the setting of a field; None where no cell has to state it."""
    if is_open:
        return Setting(path=path, texts={"a search that is not over will choose it": ""}, is_open=True)
    stating = [(cell, config) for cell, config in cells if is_stated(path, config)]
    active = [(cell, config) for cell, config in cells if is_active(path, config)]
    if not stating:
        return None
    values = [attrgetter(path)(config) for _, config in active]
    texts = [WORDS[path].text(value) for value in values]
    where = describe_groups(path, [cell for cell, _ in active], texts, [cell for cell, _ in cells])
    is_number = all(isinstance(value, Real) and not isinstance(value, bool) for value in values)
    return Setting(
        path=path,
        texts=where,
        numbers=tuple(dict.fromkeys(values)) if is_number else (),
        is_tuned=path in tuned,
    )


def is_active(path: str, config: FineTuneConfig) -> bool:
    """Return whether a field can have an effect on a trial, or is to be stated; of two budgets, one is None."""
    is_budget = path in ("steps", "epochs")
    return is_stated(path, config) or (not is_budget and (path not in ACTIVE or ACTIVE[path](config)))


def describe_groups(
    path: str, cells: Sequence[Mapping[str, Value]], texts: Sequence[str], all_cells: Sequence[Mapping[str, Value]]
) -> dict[str, str]:
    """Return each text with the cells that have it, in words.

    They are named by the values of the one axis on which the text depends, if there is one, else by their number. No
    words where all cells have the text, or where it is the value of the axis.

    Args:
        path: the config field.
        cells: those that have a text, value by scientific axis.
        texts: text of each of them.
    """
    if len(set(texts)) == 1 and len(cells) == len(all_cells):
        return {texts[0]: ""}
    by_cell = {id(cell): text for cell, text in zip(cells, texts, strict=True)}
    for axis in all_cells[0]:
        found: dict[Value, set[str]] = {}
        for cell in all_cells:
            found.setdefault(cell[axis], set()).add(by_cell.get(id(cell), ""))
        if all(len(each) == 1 for each in found.values()):
            named: dict[str, list[str]] = {}
            for value, (text,) in found.items():
                named.setdefault(text, []).append(axis_text(axis, value))
            named.pop("", None)
            is_plain = axis == path or all([text.lower()] == [each.lower() for each in v] for text, v in named.items())
            prefix = "" if isinstance(next(iter(found)), str) else f"{axis_titles([axis])[axis]} "
            return {text: "" if is_plain else prefix + join(names, "and") for text, names in named.items()}
    counts = {text: [*texts].count(text) for text in texts}
    return {text: f"{count} of {len(all_cells)} cells" for text, count in counts.items()}


def axis_text(axis: str, value: Value) -> str:
    """Return a value of an axis in words."""
    return WORDS[axis].text(value) if axis in WORDS and not isinstance(value, str) else value_title(value)
