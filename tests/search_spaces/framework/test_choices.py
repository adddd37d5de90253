"""Fixed values over a study's own, some of its cells, another search."""

import re
from dataclasses import replace
from typing import Any

import pytest

import search_spaces
from revit.errors import InputError
from search_spaces.framework import Range, Search, SearchSpace
from search_spaces.framework.choices import (
    find_axis,
    parse_assignments,
    parse_value,
    slug,
    split_values,
    with_cells,
    with_search,
    with_settings,
)

QUICKSTART = search_spaces.load("quickstart")


def configs(space: SearchSpace, path: str) -> set[object]:
    return {each.config.flat()[path] for each in space.candidates(space.seeds)}


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("steps", "50", 50), ("steps", "none", None), ("steps", "5x", "5x"), ("optimizer.lr", "0.3", 0.3),
        ("optimizer.lr", "1", 1.0), ("optimizer.name", "muon", "muon"), ("hflip", "false", False),
        ("hflip", "True", True), ("model.frozen", "none", "none"), ("model.weights", "none", None),
        ("model.weights", "12", "12"), ("optimizer.betas", "0.9,0.95", (0.9, 0.95)),
        ("optimizer.betas", "[0.9, 0.95]", (0.9, 0.95)), ("eval_every", "1 epoch", "1 epoch"), ("eval_every", "9", 9),
        ("loss", "my_study:focal", "my_study:focal"), ("optimizer.lr", "9" * 400, int("9" * 400)),
    ],
)  # fmt: skip
def test_a_text_becomes_a_value_of_the_fields_type(path: str, text: str, value: object) -> None:
    parsed = parse_value(path, text)
    assert (parsed, type(parsed)) == (value, type(value))


def test_a_setting_is_in_every_trial_as_trained_and_the_study_has_another_name() -> None:
    chosen = with_settings(QUICKSTART, {"steps": 50, "optimizer.lr": 0.3})
    assert chosen.name == chosen.tags["study"] == "quickstart-optimizer.lr-0.3-steps-50"
    assert (configs(chosen, "steps"), configs(chosen, "optimizer.lr")) == ({50}, {0.3})
    assert [each.cell for each in chosen.candidates((0,))] == [each.cell for each in QUICKSTART.candidates((0,))]
    assert with_settings(QUICKSTART, {"optimizer.lr": 0.3, "steps": 50}).name == chosen.name
    same = with_settings(QUICKSTART, {"steps": 120})
    assert [each.config for each in same.candidates((0,))] == [each.config for each in QUICKSTART.candidates((0,))]
    assert with_settings(QUICKSTART, {}) is QUICKSTART


def test_a_setting_comes_after_recipe_and_scale_and_the_recipe_knows_it() -> None:
    space = search_spaces.load("resolution").variant(scale="nano", recipe="vit_2021")
    assert space.nuisance_axes == {"optimizer.lr": (0.001, 0.003, 0.01, 0.03)}
    assert configs(with_settings(space, {"batch_size": 7}), "batch_size") == {7}
    tuned_no_more = with_settings(space, {"optimizer.lr": 0.3})
    assert (configs(tuned_no_more, "optimizer.lr"), tuned_no_more.nuisance_axes) == ({0.3}, {})
    for optimizer, decay in (("sgd", 0.0), ("adamw", 0.05)):
        chosen = with_settings(search_spaces.load("resolution"), {"optimizer.name": optimizer})
        assert configs(chosen, "optimizer.weight_decay") == {decay}


def test_one_budget_replaces_the_other() -> None:
    assert configs(with_settings(QUICKSTART, {"epochs": 2}), "steps") == {None}
    assert configs(with_settings(search_spaces.load("pos_embed"), {"steps": 2}), "epochs") == {None}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer.lrr": 1}, "'optimizer.lrr' is not a config field; did you mean optimizer.lr"),
        ({"schedule.name": "cosine"}, "axis schedule.name of quickstart compares cosine,constant; choose with --only"),
        ({"optimizer.name": "adam"}, "axis optimizer of quickstart compares sgd,adam; choose with --only optimizer="),
        ({"steps": "5x"}, "steps = '5x': must be a whole number"), ({"steps": 0}, "steps = 0: must be above 0"),
        ({"seed": 3}, "seed cannot be set"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        with_settings(QUICKSTART, settings)
    assert "\n" not in str(raised.value)


def test_a_setting_that_leaves_levels_alike_is_refused() -> None:
    space = SearchSpace(
        name="rates", question="?", base=QUICKSTART.base,
        scientific={"rate": {"low": {"optimizer.lr": 0.1}, "high": {"optimizer.lr": 0.2}}},
    )  # fmt: skip
    with pytest.raises(InputError, match=r"with optimizer\.lr set, two of its points would train the same"):
        with_settings(space, {"optimizer.lr": 0.3})


def test_some_cells_are_the_same_study_with_fewer_trials() -> None:
    part = with_cells(QUICKSTART, {"optimizer": ("sgd",)})
    assert part.name == "quickstart"
    assert [each.config for each in part.candidates((0, 1))] == [
        each.config for each in QUICKSTART.candidates((0, 1)) if each.cell["optimizer"] == "sgd"
    ]
    both = with_cells(QUICKSTART, split_values(QUICKSTART, {"optimizer": "sgd,adam", "schedule.name": "constant"}))
    assert [list(each.cell.values()) for each in both.candidates((0,))] == [["sgd", "constant"], ["adam", "constant"]]
    assert with_cells(QUICKSTART, split_values(QUICKSTART, {"optimizer": "sgd,adam", "schedule": "constant"})) == both
    resolution = search_spaces.load("resolution").variant(scale="nano")
    cell = with_cells(resolution, {"resolution": ["384"], "dataset": ["cifar100"]})
    assert [each.requested_values for each in cell.candidates((0,))] == [{"dataset": "cifar100", "resolution": 384}]


def test_an_axis_is_found_by_its_name_first() -> None:
    axes = {"lr": {"low": {"optimizer.lr": 0.01}, "high": {"optimizer.lr": 0.1}}, "schedule.name": ("cosine",)}
    space = replace(QUICKSTART, scientific={**axes, "schedule": {"short": {"steps": 4}, "long": {"steps": 8}}})
    for name in ("lr", "schedule", "schedule.name"):
        assert find_axis(space, name) == name
    with pytest.raises(InputError, match=r"quickstart has no scientific axis 'steps': lr, schedule.name, schedule"):
        find_axis(space, "steps")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"optimizr": ["sgd"]}, "quickstart has no scientific axis 'optimizr': optimizer, schedule.name"),
        ({"optimizer": ["sdg"]}, "axis optimizer of quickstart has no value 'sdg': sgd, adam"),
        ({"optimizer": []}, "it has no trials"),
    ],
)
def test_a_wrong_cell_is_one_line_with_the_known_ones(cells: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_cells(QUICKSTART, cells)


def test_names_are_those_of_folders() -> None:
    assert slug({"b": 1e-05, "a": ("x", "y")}) == "a-x-y-b-1e-05"
    one, other = slug({"dataset": "folder:/a/b"}), slug({"dataset": "folder:/a_b"})
    assert one.startswith("dataset-folder_a_b-") and other.startswith("dataset-folder_a_b-") and one != other
    assert len(slug({"x": "y" * 500})) < 100


@pytest.mark.parametrize("text", ["steps", "steps=", "=5"])
def test_an_assignment_has_a_name_and_a_value(text: str) -> None:
    with pytest.raises(InputError, match=r"--set .*: must be NAME=VALUE"):
        parse_assignments("--set", [text])
    assert parse_assignments("--set", ["a=b=c", "x= 1 "]) == {"a": "b=c", "x": "1"}


TUNED = SearchSpace(
    name="tuned", question="?", base=QUICKSTART.base, scientific={"schedule.name": ("cosine", "constant")},
    nuisance={"optimizer.lr": Range(0.01, 0.1), "pace": {"slow": {"label_smoothing": 0.1}, "fast": {"mixup": 0.1}}},
    search=Search(num_trials=4, pruner="median"),
)  # fmt: skip


def test_values_of_a_search_replace_those_of_the_study() -> None:
    assert with_search(TUNED) is TUNED
    chosen = with_search(TUNED, sampler="tpe", num_trials=8, time_budget_s=60.0)
    assert chosen.search == Search(sampler="tpe", num_trials=8, time_budget_s=60.0, pruner="median")
    assert replace(chosen, search=TUNED.search) == TUNED, "it is the same study"
    assert with_search(TUNED, pruner="none").search == Search(num_trials=4)


@pytest.mark.parametrize(
    ("space", "values", "message"),
    [
        (QUICKSTART, {"sampler": "tpe", "num_trials": 3},
         "sampler = 'tpe', num_trials = 3: quickstart must have nuisance axes, and there is nothing to search in it"),
        (TUNED, {"sampler": "sobol"}, "sampler = 'sobol': must be one of grid, quasi_random, random, tpe, gp"),
        (TUNED, {"sampler": "grid"}, "sampler = 'grid': axis optimizer.lr = Range(0.01, 0.1) has no values"),
        (TUNED, {"num_trials": 0}, "num_trials = 0: must be above 0"),
        (TUNED, {"pruner": "wilcoxon"}, "pruner = 'wilcoxon': must be successive_halving or median"),
    ],
)  # fmt: skip
def test_a_wrong_value_of_a_search_is_one_line(space: SearchSpace, values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        with_search(space, **values)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("path", ["optimizer.lr", "label_smoothing", "mixup"])
def test_a_field_that_is_tuned_cannot_be_set(path: str) -> None:
    with pytest.raises(InputError, match=f"^{path} cannot be set: tuned tunes it in each cell; see `nuisance`"):
        with_settings(TUNED, {path: 0.05})
    assert with_settings(TUNED, {"batch_size": 16}).nuisance == TUNED.nuisance


def test_some_cells_of_a_search_are_searched_alike() -> None:
    part = with_cells(TUNED, {"schedule.name": ("cosine",)})
    assert part.list_cells() == TUNED.list_cells()[:1]
    with pytest.raises(InputError, match=r"has no scientific axis 'optimizer\.lr'"):
        with_cells(TUNED, {"optimizer.lr": (0.05,)})
