"""Tables as CSV that a spreadsheet opens without running anything in it."""

from pathlib import Path

import pandas as pd

FORMULA_STARTS = ("=", "+", "-", "@")
"""Characters with which a text begins that a spreadsheet takes for a formula
(https://owasp.org/www-community/attacks/CSV_Injection)."""


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table; a text that would be a formula gets an apostrophe in front, which says that it is text."""
    table.rename(columns=_as_text).map(_as_text).to_csv(path, index=False)


def _as_text(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
