"""CSV cells are not formulas to a spreadsheet."""

import csv
from pathlib import Path

import pandas as pd

from study.report.spreadsheet import write_csv


def test_text_that_would_be_a_formula_is_marked_as_text_and_numbers_are_not(tmp_path: Path) -> None:
    labels = ["=HYPERLINK(1)", "+1", "-x", "@SUM(A1)", "plain", "a=b", -1.5, None]
    table = pd.DataFrame({"=axis": pd.Series(labels, dtype=object), "mean": [-0.5] * len(labels)})
    write_csv(table, tmp_path / "cells.csv")
    heading, *rows = csv.reader((tmp_path / "cells.csv").read_text().splitlines())
    assert heading == ["'=axis", "mean"]
    shown = [row[0] for row in rows]
    assert shown == ["'=HYPERLINK(1)", "'+1", "'-x", "'@SUM(A1)", "plain", "a=b", "-1.5", ""]
    assert {row[1] for row in rows} == {"-0.5"}
