"""Conclusions of a paper, sentence by sentence: each is tested by claims, or has a reason why it cannot be.

    table,sentence,reason
    2,"For Flower102, a resolution of 384 outperformed 512.",
    4,This underscores the need for further advancements in model accuracy.,A call for research.

The file lies in the folder `sentences` beside the paper's csv, under the same name. Claims quote a sentence, or a part
of it.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from revit.errors import InputError
from search_spaces.framework.published import paper_file

FOLDER = "sentences"
COLUMNS = ("table", "sentence", "reason")


@dataclass(frozen=True)
class Sentence:
    """A sentence that concludes something.

    Attributes:
        table: the paper's table whose study tests it; empty for none.
        reason: why no claim tests it; empty if one does.
    """

    table: str
    text: str
    reason: str


@cache
def read_sentences(paper: str | Path) -> tuple[Sentence, ...]:
    """Return the sentences of a paper, in its order; none if it has no such file.

    Args:
        paper: as `read_paper` takes it.

    Raises:
        InputError: the file cannot be read, or has other columns.
    """
    csv_file = paper_file(paper)
    path = csv_file.parent / FOLDER / csv_file.name
    if not path.is_file():
        return ()
    try:
        header, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines(), strict=True)
        if tuple(header) != COLUMNS:
            raise ValueError(f"its columns are {', '.join(header)}")
        return tuple(Sentence(*row) for row in rows)
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: must be a csv file with columns {', '.join(COLUMNS)}: {error}") from error
