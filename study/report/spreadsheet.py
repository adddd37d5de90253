"""CSV files in which a spreadsheet finds no formulas."""

from pathlib import Path

import pandas as pd

FORMULA_STARTS = ("=", "+", "-", "@")
"""First characters of a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table; a text that would be a formula gets a leading apostrophe, so that it stays text."""
    table.rename(columns=_as_text).map(_as_text).to_csv(path, index=False)


def _as_text(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
