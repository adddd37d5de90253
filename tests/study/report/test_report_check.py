"""study.report.report_check."""

import json
from pathlib import Path
from typing import Any

import pytest

from revit.training.metrics import METRICS
from study.analysis.claim_tests import ClaimResult
from study.analysis.verdicts import ClaimVerdict
from study.report.claim_list import to_records
from study.report.report_check import find_outdated
from tests.study.registration.made_study import FASTER

FILES = {"record.json": "{}", ".prereg/ledger.jsonl": "{}\n"}
VERDICTS = [ClaimVerdict(ClaimResult(claim=FASTER, verdict="supported", effect=1.5, p_holm=0.01, num_seeds=3), None)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "registration" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write(tmp_path, to_records(VERDICTS, METRICS["accuracy"]))
    return tmp_path


def write(folder: Path, claims: list[dict[str, Any]]) -> None:
    (folder / "report.json").write_text(json.dumps({"claims": claims}))


def outdated(folder: Path) -> list[str]:
    return list(find_outdated(folder, VERDICTS, "accuracy", FILES))


def test_a_report_of_its_store_agrees(folder: Path) -> None:
    assert outdated(folder) == []


@pytest.mark.parametrize(("name", "value"), [("verdict", "contradicted"), ("effect", 9.0), ("quote", "Other.")])
def test_a_changed_claim_is_named(folder: Path, name: str, value: object) -> None:
    [record] = to_records(VERDICTS, METRICS["accuracy"])
    write(folder, [{**record, name: value}])
    [line] = outdated(folder)
    assert f"claim 1: {name} is {value!r}, and {record[name]!r} by its trials" in line


def test_a_claim_that_is_missing_is_counted(folder: Path) -> None:
    write(folder, [])
    assert outdated(folder) == [f"{folder / 'report.json'} has 0 claims, the study 1"]


def test_a_file_of_the_registration_that_differs_is_named(folder: Path) -> None:
    path = folder / "registration" / "record.json"
    path.write_text("{ }")
    assert outdated(folder) == [f"{path} differs from the records"]
    path.unlink()
    assert outdated(folder) == [f"{path} is missing"]


def test_a_broken_report_is_named(folder: Path) -> None:
    (folder / "report.json").write_text("{")
    assert outdated(folder) == [f"{folder / 'report.json'} cannot be read"]
