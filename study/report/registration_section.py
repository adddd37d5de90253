"""Registration in a report: a few words for each claim, the deviations, the files that others can check."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from study.layout import REGISTRATION_FOLDER
from study.registration.deviations import RegistrationReport


def deviations_context(registration: RegistrationReport) -> dict[str, Any]:
    """Return what the templates show of registration."""
    return {"registration": registration}


def registration_record(registration: RegistrationReport) -> dict[str, Any]:
    """Return plain values for JSON."""
    return asdict(registration)


def registration_lines(registration: RegistrationReport) -> list[str]:
    """Return the deviations as lines of plain text; nothing where there are none."""
    return [
        f"deviation: {each.text}" + (f" ({'; '.join(each.details)})" if each.details else "")
        for each in registration.deviations
    ]


def write_registration(files: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the newest record, its manifests and the ledger beside a report, in place of those of an earlier one."""
    place = folder / REGISTRATION_FOLDER
    for earlier in [path for path in place.rglob("*") if path.is_file()]:
        earlier.unlink()
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(text.encode())
    return [place] if files else []
