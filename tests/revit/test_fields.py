"""What a reader is told of a config's fields is what the dataclasses say."""

from dataclasses import fields, is_dataclass

import pytest

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig, ScheduleConfig
from revit.fields import attribute_docs, list_fields
from revit.validation import field_types

BASE = FineTuneConfig(dataset="digits", steps=1)


def test_every_field_is_told_once_under_its_path_with_its_default() -> None:
    told = {each.path: each.default for each in list_fields(FineTuneConfig)}
    assert list(told) == list(BASE.flat())
    given = {"dataset": "", "steps": "None"}
    assert told == {path: str(value) for path, value in BASE.flat().items()} | given


@pytest.mark.parametrize("owner", [FineTuneConfig, ModelConfig, OptimizerConfig, ScheduleConfig])
def test_no_field_lacks_a_meaning(owner: type) -> None:
    own = {each.name for each in fields(owner) if not is_dataclass(field_types(owner)[each.name])}
    meanings = attribute_docs(owner)
    assert own == meanings.keys()
    assert all(meanings.values())


def test_meanings_run_over_lines_and_may_be_shared() -> None:
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


def test_only_the_dataset_must_be_given() -> None:
    assert [each.path for each in list_fields(FineTuneConfig) if not each.default] == ["dataset"]
