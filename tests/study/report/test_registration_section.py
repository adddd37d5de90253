"""study.report.registration_section."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from study.registration.deviations import ClaimStatus, Deviation, RegistrationReport
from study.report.registration_section import (
    deviations_context,
    registration_lines,
    registration_record,
    write_registration,
)
from study.report.writer import load_template

STATUS = ClaimStatus(kind="registered", num_seen=0, num_trials=12, text="registered before all 12 trials")
NONE = RegistrationReport(claims=[STATUS], deviations=[], num_records=2, head="abc", has_results=True)
SOME = replace(NONE, deviations=[Deviation(kind="claim", text="claim <changed>", details=("margin: 1 -> 2",))])


def render(registration: RegistrationReport) -> str:
    return load_template("parts/deviations.html.j2").render(deviations_context(registration))


def test_no_deviations_are_one_line() -> None:
    page = render(NONE)
    assert "Deviations from what was registered: none (2 records of launches, the newest with the SHA-256 abc)." in page
    assert "<h2" not in page
    assert registration_lines(NONE) == []


def test_deviations_have_a_section_with_what_differs() -> None:
    page = render(SOME)
    assert '<h2 id="deviations">Deviations from what was registered</h2>' in page
    assert "<li>claim &lt;changed&gt;<ul><li>margin: 1 -&gt; 2</li></ul></li>" in page
    assert registration_lines(SOME) == ["deviation: claim <changed> (margin: 1 -> 2)"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"has_results": True}, "Registration: not registered: run before registration existed."),
        ({"has_results": False}, "Registration: not registered yet: no trial has run."),
    ],
)
def test_a_study_without_records_is_called_so_neutrally(values: dict[str, Any], words: str) -> None:
    page = render(replace(NONE, num_records=0, head="", **values))
    assert words in page
    assert "eviation" not in page.replace('id="deviations"', "")


def test_a_record_is_plain() -> None:
    record = json.loads(json.dumps(registration_record(SOME)))
    assert record["claims"][0]["kind"] == "registered"
    assert record["deviations"][0]["details"] == ["margin: 1 -> 2"]


def test_files_replace_those_of_an_earlier_report(tmp_path: Path) -> None:
    write_registration({"a.yaml": "a\n", ".prereg/ledger.jsonl": "{}\n"}, tmp_path)
    [place] = write_registration({"b.yaml": "b\n"}, tmp_path)
    assert [path.name for path in place.rglob("*") if path.is_file()] == ["b.yaml"]
    assert write_registration({}, tmp_path) == []
    assert [path for path in place.rglob("*") if path.is_file()] == []
