"""study.registration.decision_rule."""

from dataclasses import replace

import pytest

import search_spaces
from study.registration import decision_rule as module
from study.registration.decision_rule import decision_rule
from tests.study.registration.made_study import SPACE


def test_a_rule_has_the_level_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decision_rule(SPACE)["level"] == "5 %, two-sided"
    monkeypatch.setattr(module, "LEVEL", 0.1)
    assert decision_rule(SPACE)["level"] == "10 %, two-sided"


def test_published_values_are_part_of_a_rule() -> None:
    space = search_spaces.load("resolution")
    assert "published values" not in decision_rule(SPACE)
    rules = [decision_rule(each)["published values"] for each in (space, replace(space, table="3"))]
    assert rules[0].startswith("table 2 of re_vit, digest ")
    assert rules[0] != rules[1]
