"""study.registration.prereg_ledger, by `preregister` 0.1."""

import json
from dataclasses import replace
from pathlib import Path

import preregister.cli
import pytest

from study.registration.prereg_ledger import LEDGER_FILE, ledger_text
from tests.study.registration.made_study import FASTER, RISING, WIDE, MadeStudy, with_claims


@pytest.fixture
def text(tmp_path: Path, cache_dir: Path) -> str:
    study = MadeStudy(tmp_path, cache_dir)
    study.launch(with_claims(FASTER, WIDE), num_finished=2)
    study.launch(with_claims(FASTER, WIDE), num_finished=1)
    study.launch(with_claims(FASTER, replace(WIDE, margin=2.0), RISING), num_finished=1)
    study.launch(with_claims(FASTER, replace(WIDE, margin=2.0), RISING), seeds=(0, 1, 2))
    return ledger_text(study.history().records)


def verify(folder: Path, text: str) -> int:
    path = folder / "checked" / LEDGER_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return preregister.cli.main(["--root", str(folder / "checked"), "verify"])


def test_preregister_accepts_the_ledger(text: str, tmp_path: Path) -> None:
    assert verify(tmp_path, text) == 0
    entries = [json.loads(line) for line in text.splitlines()]
    kinds = [(each["kind"], each["payload"].get("prediction_id")) for each in entries]
    assert kinds == [
        ("init", None),
        ("register", "claim-1"),
        ("register", "claim-2"),
        ("amend", "claim-2"),
        ("register", "claim-3"),
        ("amend", "claim-1"),
        ("amend", "claim-2"),
        ("amend", "claim-3"),
    ]
    assert entries[3]["payload"]["reason"] == "changed: claim margin: 1.0 -> 2.0"
    assert entries[5]["payload"]["reason"] == "changed: seeds: 0, 1 -> 0, 1, 2"


@pytest.mark.parametrize(("old", "new"), [('"margin":1.0', '"margin":5.0'), ("1970-01-01", "1969-01-01")])
def test_preregister_refuses_a_changed_ledger(text: str, old: str, new: str, tmp_path: Path) -> None:
    assert old in text
    assert verify(tmp_path, text.replace(old, new, 1)) == 1


def test_preregister_refuses_a_ledger_without_one_of_its_lines(text: str, tmp_path: Path) -> None:
    lines = text.splitlines(keepends=True)
    assert verify(tmp_path, "".join([*lines[:2], *lines[3:]])) == 1


def test_a_study_without_records_has_no_ledger() -> None:
    assert ledger_text([]) == ""
