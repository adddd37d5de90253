"""Published numbers: a csv per paper, whose lines are experiments with open columns.

    # title: An Image is Worth 16x16 Words
    # authors: Alexey Dosovitskiy and others
    # url: https://arxiv.org/abs/2010.11929
    table,dataset,model.name,resolution,value,num_test,source,note
    5,cifar100,vit_b16_in21k,384,91.67,10000,,

The columns of COLUMNS describe the number. Every other column is an axis: a field of a trial's config by its dotted
path, or a named axis of the study that repeats the table. A value may be left empty where it does not matter.
"""

import csv
import itertools
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.fields import fields_by_path
from revit.validation import describe_type, is_a, parse_text, require, require_one_line, short_repr
from search_spaces.framework.claim_cells import Cell, Value

STUDIES = Path(__file__).parents[1]
"""Folder of the package's studies."""
FACTS = ("title", "authors", "url")
"""Facts about a paper, each a comment at the top of its file."""
COLUMNS = ("table", "metric", "value", "n", "num_test", "epoch", "source", "note")
"""Columns that describe a number; only `table` and `value` are required. See Published."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Published:
    """One published number.

    Attributes:
        table: name of the paper's table (`5`, `6a`) whose study shows it.
        point: value on each axis that its line fills; dataset `flowers` is Flowers-102 in any of its splits.
        metric: a key of `revit.training.metrics.METRICS`; `accuracy` where the file does not say.
        value: in the unit of the metric: accuracy in percent.
        n: number of runs that it is the mean of; 1 where the file does not say.
        num_test: images it was tested on; None where the source does not say.
        epoch: of a point of a curve; None for a result.
        source: short name of who measured it; empty for the paper itself.
        note: shown behind the number.
    """

    table: str
    point: Mapping[str, Value]
    metric: str
    value: float
    n: int
    num_test: int | None
    epoch: float | None
    source: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper with its published numbers, in the order of its file.

    Attributes:
        file: name of its file, for messages.
        url: where it, or its code, is found.
    """

    file: str
    title: str
    authors: str
    url: str
    rows: tuple[Published, ...] = field(repr=False)

    def rows_of(self, table: str) -> list[Published]:
        """Return the rows of a table."""
        return [row for row in self.rows if row.table == table]

    def values(self, axis: str, *, table: str, source: str = "", where: Cell | None = None) -> dict[Value, float]:
        """Return the published accuracies of a table by the values of an axis, for `Matches(published=...)`.

        Args:
            source: who measured them; empty for the paper itself.
            where: values on other axes that the rows must have.

        Raises:
            InputError: there is no such row, or more than one for a value of the axis.
        """
        rows = [
            row
            for row in self.rows_of(table)
            if row.source == source and row.epoch is None and row.metric == "accuracy" and axis in row.point
            if (where or {}).items() <= row.point.items()
        ]
        found = {row.point[axis]: row.value for row in rows}
        if not rows or len(found) < len(rows):
            fault = "more than one number for a value" if rows else "no number"
            raise InputError(f"{self.file} has {fault} of {axis} in table {table}, source {source or 'the paper'}")
        return found

    def is_about(self, row: Published, cell: Mapping[str, Collection[Value]], explicit: Collection[str]) -> bool:
        """Return whether a row is shown beside a cell.

        A number of the paper itself is, whatever the recipe: compared are the axes on which the table's own numbers
        differ, and those that the study sets. A number from elsewhere must be of the same experiment: compared is every
        axis that its line fills.

        Args:
            cell: the names of its value, by axis; one, except for a dataset with an alias.
            explicit: axes that the study sets itself.
        """
        own = [each.point for each in self.rows_of(row.table) if not each.source]
        return all(
            value in cell[axis]
            for axis, value in row.point.items()
            if row.source or axis in explicit or any(point.get(axis) != value for point in own)
        )


def known_papers() -> dict[str, Path]:
    """Return the files of the papers that have a name: NAME.csv in `papers`, or in the folder of a paper's studies."""
    return {each.stem: each for each in sorted(STUDIES.glob("*/*.csv"))}


def paper_file(name: str | Path) -> Path:
    """Return the file of a paper, which is there if the paper is known.

    Args:
        name: of a known paper, or the path of a csv file.
    """
    is_path = Path(name).suffix == ".csv"
    return Path(name) if is_path else known_papers().get(str(name), STUDIES / "papers" / f"{name}.csv")


@cache
def read_paper(name: str | Path) -> Paper:
    """Return a paper from its file, with every line checked.

    Args:
        name: as `paper_file` takes it.

    Raises:
        InputError: there is no such file, or a line is wrong: names file, line and column.
    """
    path = paper_file(name)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        known = ", ".join(known_papers())
        raise InputError(
            f"paper = {short_repr(str(name))}: must be one of {known}, or the path of a csv file"
        ) from error
    comments = [*itertools.takewhile(lambda line: line.startswith("#"), lines)]
    facts = dict(re.findall(r"^# (\w+): (.+)$", "\n".join(comments), flags=re.MULTILINE))
    for fact in FACTS:
        if fact not in facts:
            raise InputError(f"{path.name} must begin with a line `# {fact}: ...`")
    rows = _read_rows(path.name, lines, len(comments))
    return Paper(file=path.name, rows=rows, **{fact: facts[fact] for fact in FACTS})


def _read_rows(file: str, lines: list[str], num_comments: int) -> tuple[Published, ...]:
    table = csv.DictReader(lines[num_comments:], strict=True)
    try:
        _check_columns(table.fieldnames or ())
        return tuple([_row(fields) for fields in table])
    except (csv.Error, InputError) as error:
        raise InputError(f"{file}, line {num_comments + table.reader.line_num}, {error}") from error


def _check_columns(names: Collection[str]) -> None:
    for name in ("table", "value"):
        require(name in names, "columns", ", ".join(names), f"{name} and others")
    for name in names:
        require_one_line("column", name)
        if "." in name and name not in fields_by_path(FineTuneConfig):
            raise InputError(f"column {name}: not a field of a trial's config, as `run_study.py axes` lists them")


def _row(fields: Mapping[Any, Any]) -> Published:
    require(None not in fields and None not in fields.values(), "values", [*fields.values()], "one for each column")
    for name in ("table", "value"):
        require(fields[name] != "", f"column {name}", "", "filled")
    metric = fields.get("metric") or "accuracy"
    return Published(
        table=fields["table"],
        point={axis: _axis_value(axis, text) for axis, text in fields.items() if axis not in COLUMNS and text},
        metric=metric,
        value=_metric_value(metric, fields["value"]),
        n=_count(fields, "n") or 1,
        num_test=_count(fields, "num_test"),
        epoch=_number(fields, "epoch"),
        source=fields.get("source", ""),
        note=fields.get("note", ""),
    )


def _axis_value(axis: str, text: str) -> Value:
    """Return a value of a config field in its type; of a named axis, its label."""
    known = fields_by_path(FineTuneConfig)
    if axis not in known:
        return text
    hint = known[axis].hint
    value: Value = parse_text(hint, text)
    require(is_a(hint, value), f"column {axis}", text, describe_type(hint))
    return value


def _metric_value(metric: str, text: str) -> float:
    """Return the value of a metric. A share in the place of a percentage is refused."""
    number = _number({"value": text}, "value")
    assert number is not None, "the column is filled"
    if metric == "accuracy":
        require(1 < number <= 100, "column value", text, "accuracy in percent, 1 to 100")
    else:
        from revit.training.metrics import METRICS  # imports numpy, which most studies do not need

        require(metric in METRICS, "column metric", metric, f"one of {', '.join(METRICS)}")
    return number


def _number(fields: Mapping[str, str], column: str) -> float | None:
    """Return the number in a column; None where it is empty."""
    text = fields.get(column, "")
    require(not text or re.fullmatch(r"\d+(\.\d+)?(e-?\d\d?)?", text) is not None, f"column {column}", text, "a number")
    return float(text) if text else None


def _count(fields: Mapping[str, str], column: str) -> int | None:
    """Return the whole number in a column, 1 or larger; None where it is empty."""
    text = fields.get(column, "")
    fits = not text or re.fullmatch(r"[1-9]\d{0,17}", text) is not None
    require(fits, f"column {column}", text, "a whole number, 1 or larger")
    return int(text) if text else None
