"""The listed fields of a config against its dataclasses."""

from dataclasses import fields, is_dataclass

import pytest

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig, ScheduleConfig
from revit.fields import attribute_docs, list_fields
from revit.validation import field_types

BASE = FineTuneConfig(dataset="digits", steps=1)


def test_every_field_is_listed_once_with_its_path_and_default() -> None:
    listed = {each.path: each.default for each in list_fields(FineTuneConfig)}
    assert list(listed) == list(BASE.flat())
    required = {"dataset": "", "steps": "None"}
    assert listed == {path: str(value) for path, value in BASE.flat().items()} | required


@pytest.mark.parametrize("owner", [FineTuneConfig, ModelConfig, OptimizerConfig, ScheduleConfig])
def test_every_field_has_a_meaning(owner: type) -> None:
    own = {each.name for each in fields(owner) if not is_dataclass(field_types(owner)[each.name])}
    meanings = attribute_docs(owner)
    assert own == meanings.keys()
    assert all(meanings.values())


def test_a_meaning_may_have_several_lines_and_names() -> None:
    class Example:
        """One.

        Attributes:
            a, b: first line,
                second line: with a colon.
            c: third.
        """

    assert attribute_docs(Example) == {
        "a": "first line, second line: with a colon.",
        "b": "first line, second line: with a colon.",
        "c": "third.",
    }


def test_only_the_dataset_is_required() -> None:
    assert [each.path for each in list_fields(FineTuneConfig) if not each.default] == ["dataset"]
