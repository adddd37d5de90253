"""The best seed is kept only where validation images tell which it is."""

import re
from typing import Any

import pytest

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.ranges import Range
from search_spaces.framework.space import SearchSpace

BASE = FineTuneConfig(dataset="digits", resolution=28, steps=10, val_fraction=0.1)
LR = {"optimizer.lr": Range(1e-3, 1e-1, log=True)}


def space_of(**changes: Any) -> SearchSpace:
    given = {"base": BASE, "scientific": {"optimizer.name": ("sgd", "adam")}, "keep_models": "best", **changes}
    return SearchSpace(name="example", question="?", **given)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"base": BASE.with_values({"val_fraction": 0.0})},
            "its tested trials have no validation images to compare seeds by: val_fraction = 0.0",
        ),
        (
            {"nuisance": LR},
            "its tested trials have no validation images to compare seeds by: what wins a search is trained on them, "
            "too",
        ),
        (
            {"metric": "train_time_s"},
            "train_time_s has no value on validation images, by which seeds are compared",
        ),
    ],
)
def test_it_is_refused_where_seeds_have_no_value_on_validation_images(changes: dict[str, Any], reason: str) -> None:
    line = f"search space example: keep_models = 'best': must be 'first_seed', 'all' or 'none': {reason}"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        space_of(**changes)
    assert space_of(**changes, keep_models="all").keep_models == "all"


def test_a_searched_cell_has_a_best_seed_where_its_schedule_needs_validation_images() -> None:
    searched = space_of(base=BASE.with_values({"schedule.name": "plateau"}), nuisance=LR)
    assert searched.candidates((0,))[0].config.val_fraction == 0.1


def test_a_study_that_is_read_about_another_metric_has_the_same_best_seeds() -> None:
    assert space_of().about("train_time_s").tuned_metric == "accuracy"
    assert space_of(metric="loss").about("accuracy").tuned_metric == "loss"
