"""Setup of a study by name."""

import itertools

import search_spaces
from revit.identity import TRAINING_VERSION
from study.report.setup_list import describe_forecast, describe_setup
from tests.study.report.small_study import finish


def test_what_the_last_launch_took_stands_beside_its_estimate() -> None:
    tags = {"estimate.wall_s": "240", "actual.wall_s": "250.4", "estimate.peak_bytes": "3e9", "actual.device_s": "1"}
    assert describe_forecast(tags) == {"time of the last launch": "4 min 10 s, estimated 4 min 0 s"}
    assert describe_forecast({**tags, "actual.peak_bytes": "3.1e9"})["its peak memory"] == "3.1 GB, estimated 3.0 GB"
    assert describe_forecast({}) == {}


def test_a_setup_names_recipe_scale_seeds_steps_and_versions() -> None:
    space = search_spaces.load("resolution").variant(scale="nano", recipe="authors")
    setup = describe_setup(finish(space, (0, 2), itertools.repeat(0.9)))
    expected = {
        "recipe": "authors", "scale": "nano", "seeds": "0, 2", "steps": "2500", "device": "-",
        "training-code version": str(TRAINING_VERSION),
    }  # fmt: skip
    assert expected.items() <= setup.items()
