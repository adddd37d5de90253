"""study.registration.record."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from study.registration.record import Registration, canonical_json, make_registration
from tests.study.registration.made_study import SPACE, MadeStudy


@pytest.fixture
def record(tmp_path: Path, cache_dir: Path) -> Registration:
    plan = MadeStudy(tmp_path, cache_dir).plan()
    code = {"commit": "abc", "training": "0"}
    return make_registration(plan, code, user="me", created_ms=1_700_000_000_123, previous="")


def test_a_record_is_read_as_it_was_written(record: Registration) -> None:
    read = Registration.from_json(record.to_json())
    assert read == record
    assert read.digest == record.digest == hashlib.sha256(record.to_json().encode()).hexdigest()


def test_a_record_says_what_is_to_be_registered(record: Registration) -> None:
    assert json.loads(record.to_json()).keys() >= {"question", "claims", "seeds", "rule", "design", "code", "previous"}
    assert record.study == {"study": "example"}
    assert record.question == SPACE.question
    assert record.seeds == [0, 1]
    assert len(record.claims) == 3
    assert record.setup["axes"] == {"optimizer.lr": [0.1, 0.2], "model.pos_embed": ["learned", "none"]}
    assert record.setup["fields"] == {"dataset": "digits", "resolution": "8", "steps": "5"}
    assert set(record.data["digits"]) == {"data", "splits"}


@pytest.mark.parametrize("change", [{"question": "Why?"}, {"seeds": [0]}, {"previous": "0"}, {"created_ms": 1}])
def test_each_change_is_another_digest(record: Registration, change: dict[str, object]) -> None:
    assert replace(record, **change).digest != record.digest


def test_canonical_json_does_not_depend_on_order() -> None:
    assert canonical_json({"b": 1, "a": "ä"}) == canonical_json({"a": "ä", "b": 1}) == '{"a":"ä","b":1}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', "null"])
def test_another_text_is_not_a_record(text: str) -> None:
    with pytest.raises(ValueError):
        Registration.from_json(text)
