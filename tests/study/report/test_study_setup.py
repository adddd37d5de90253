"""Setup of a study against its plan."""

import itertools

import search_spaces
from revit.identity import TRAINING_VERSION
from study.report.study_setup import describe_setup
from tests.study.report.small_study import finish


def test_a_setup_names_recipe_scale_seeds_steps_and_versions() -> None:
    space = search_spaces.load("resolution").variant(scale="nano", recipe="authors")
    setup = describe_setup(finish(space, (0, 2), itertools.repeat(0.9)))
    expected = {
        "recipe": "authors", "scale": "nano", "seeds": "0, 2", "steps": "2500", "device": "-",
        "training-code version": str(TRAINING_VERSION),
    }  # fmt: skip
    assert expected.items() <= setup.items()
