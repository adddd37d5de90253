"""Check of a report against its store: its claims, the files of its registration."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from revit.training.metrics import find_metric
from study.analysis.verdicts import ClaimVerdict
from study.layout import REGISTRATION_FOLDER
from study.report.claim_list import to_records
from study.report.report_folder import REPORT

COMPARED = ("claim", "quote", "verdict", "effect", "low", "high", "p_holm", "num_seeds")
"""Values of a claim in report.json that must be those of its trials."""


def find_outdated(
    folder: Path, verdicts: Sequence[ClaimVerdict], metric: str, registration: Mapping[str, str]
) -> Iterator[str]:
    """Yield a line for each value or file of a report that the store does not have.

    Args:
        folder: of the report.
        verdicts: on the claims of the study, from its trials.
        registration: texts of the files of its registration, by name.
    """
    try:
        reported = json.loads((folder / REPORT).read_text(encoding="utf-8"))["claims"]
    except (OSError, ValueError, KeyError):
        yield f"{folder / REPORT} cannot be read"
        return
    expected = json.loads(json.dumps(to_records(verdicts, find_metric(metric))))
    if len(reported) != len(expected):
        yield f"{folder / REPORT} has {len(reported)} claims, the study {len(expected)}"
    for number, (found, own) in enumerate(zip(reported, expected, strict=False), start=1):
        yield from _compare(f"{folder / REPORT}, claim {number}", found, own)
    for name, text in registration.items():
        path = folder / REGISTRATION_FOLDER / name
        if not path.is_file():
            yield f"{path} is missing"
        elif path.read_bytes() != text.encode():
            yield f"{path} differs from the records"


def _compare(place: str, found: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    for name in COMPARED:
        if found.get(name) != own.get(name):
            yield f"{place}: {name} is {found.get(name)!r}, and {own.get(name)!r} by its trials"
