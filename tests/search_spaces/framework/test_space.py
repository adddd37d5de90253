"""Search spaces: their trials, the values that cells show, invalid spaces."""

import pytest

import search_spaces
from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.recipes import RECIPES
from search_spaces.framework.space import SearchSpace

BASE = FineTuneConfig(dataset="digits", steps=10)


def space_of(**changes: object) -> SearchSpace:
    given = {
        "name": "example",
        "question": "Does it?",
        "base": BASE,
        "scientific": {"resolution": (8, 28), "schedule.name": ("cosine", "linear")},
        **changes,
    }
    return SearchSpace(**given)


def test_a_space_crosses_its_axes_for_every_seed() -> None:
    space = space_of(nuisance={"optimizer.lr": (0.1, 0.01, 0.001)}, seeds=(0, 5))
    candidates = space.candidates(space.seeds)
    assert len(candidates) == 2 * 2 * 2, "a tested trial for each cell and seed"
    assert len({each.config for each in candidates}) == len(candidates)
    for each in candidates:
        flat = each.config.flat()
        for path, value in {**each.cell, **each.nuisance}.items():
            assert flat[path] == value
    assert [each.config.seed for each in candidates] == [0] * 4 + [5] * 4, "a seed is complete before the next"


def test_a_named_level_sets_several_fields() -> None:
    levels = {"slow": {"optimizer.lr": 0.001, "steps": 100}, "fast": {"optimizer.lr": 0.1, "steps": 10}}
    candidates = space_of(scientific={"pace": levels}, seeds=(0,)).candidates((0,))
    assert [(each.cell, each.config.optimizer.lr, each.config.steps) for each in candidates] == [
        ({"pace": "slow"}, 0.001, 100),
        ({"pace": "fast"}, 0.1, 10),
    ]


def test_constraint_leaves_out_points_by_their_typed_config() -> None:
    def no_linear_at_28(config: FineTuneConfig) -> bool:
        return not (config.resolution == 28 and config.schedule.name == "linear")

    cells = [each.cell for each in space_of(constraint=no_linear_at_28, seeds=(0,)).candidates((0,))]
    assert {"resolution": 28, "schedule.name": "linear"} not in cells
    assert len(cells) == 3


INVALID = {
    "a misspelt axis": ({"scientific": {"optimizzer.lr": (0.1,)}}, "optimizer.lr"),
    "an impossible value": ({"scientific": {"resolution": (28, 30)}}, "resolution = 30"),
    "tuning without validation": (
        {"base": BASE.with_values({"val_fraction": 0.0}), "nuisance": {"optimizer.lr": (0.1,)}},
        "val_fraction is 0",
    ),
    "a question with an empty line": ({"question": "Does\n\nit?"}, "question = 'Does\\n\\nit?'"),
    "no question": ({"question": ""}, "question = ''"),
    "no seeds": ({"seeds": ()}, "no seeds"),
    "a seed twice": ({"seeds": (1, 1)}, "seeds"),
    "a factor without effect": (
        {"scientific": {"optimizer.name": ("sgd", "adam"), "optimizer.momentum": (0.9, 0.5)}},
        "optimizer.momentum 0.9 and 0.5 would train the same at optimizer.name adam, optimizer.momentum 0.5",
    ),
    "a plateau with too few validations": (
        {"base": BASE.with_values({"num_evals": 3}), "scientific": {"schedule.name": ("constant", "plateau")}},
        "schedule.name constant and plateau would train the same",
    ),
    "a constraint that leaves out all": ({"constraint": lambda config: False}, "leaves out every point"),
    "an unknown metric": ({"metric": "accuracy_5"}, "metric = 'accuracy_5': must be one of accuracy, top5_accuracy"),
    "tuning on what has no validation value": (
        {"metric": "train_time_s", "nuisance": {"optimizer.lr": (0.1,)}},
        "nuisance axes are tuned on validation images, where train_time_s has no value",
    ),
    "an invalid axis": ({"scientific": {"resolution": ()}}, "axis resolution has no values"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_space_is_refused_when_it_is_built(case: str) -> None:
    changes, message = INVALID[case]
    with pytest.raises(InputError) as raised:
        space_of(**changes)
    assert str(raised.value).startswith("search space example: ")
    assert message in str(raised.value)


def test_lists_equal_tuples() -> None:
    lists = {"scientific": {"crop_scale": [[0.5, 1.0], [0.6, 1.0]]}, "nuisance": {"optimizer.lr": [0.1, 0.2]}}
    tuples = {"scientific": {"crop_scale": ((0.5, 1.0), (0.6, 1.0))}, "nuisance": {"optimizer.lr": (0.1, 0.2)}}
    space = space_of(**lists, seeds=[0, 1], columns=["crop_scale"])
    assert space == space_of(**tuples, seeds=(0, 1), columns=("crop_scale",))
    assert [each.config.crop_scale for each in space.candidates((0,))] == [(0.5, 1.0), (0.6, 1.0)]


def test_cells_show_trained_values() -> None:
    cells = [each.cell for each in search_spaces.load("resolution").variant(scale="nano").candidates((0,))]
    assert [cell["resolution"] for cell in cells[:5]] == [64, 48, 28, 16, 8]
    assert {cell["dataset"] for cell in cells} == {"photos", "digits"}
    replication = search_spaces.load("replication")
    flowers = {
        recipe: {str(each.cell["dataset"]) for each in replication.variant(recipe=recipe).candidates((0,))}
        for recipe in RECIPES
    }
    assert flowers["paper"] == flowers["authors"] == {"cifar10", "cifar100", "flowers102_nelorth"}
    assert flowers["vit_2021"] == flowers["bit_hyperrule"] == {"cifar10", "cifar100", "flowers102"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_named_split_of_flowers_is_trained_on(recipe: str) -> None:
    """The axis that docs/recipes.md recommends."""
    space = SearchSpace(
        name="example", question="?", recipe=recipe, scientific={"dataset": ("flowers102_nelorth", "flowers102")}
    )
    cells = space.candidates((0,))
    assert list(dict.fromkeys(each.config.dataset for each in cells)) == ["flowers102_nelorth", "flowers102"]
    assert all(each.cell["dataset"] == each.config.dataset for each in cells)


def test_axes_trained_differently_between_cells_keep_their_values() -> None:
    """The nano scale multiplies learning rates by ten only where a trial fine-tunes."""
    axes = {"optimizer.lr": (0.01, 0.001), "model.pretrained": (True, False)}
    space = SearchSpace(name="example", question="?", fixed={"dataset": "cifar10"}, scientific=axes, scale="nano")
    assert space.trained_values.keys() == {"model.pretrained"}


def test_the_paper_config_of_a_cell_has_its_requested_values() -> None:
    space = search_spaces.load("resolution")
    nano = space.variant(scale="nano")
    for paper, small in zip(space.candidates((0,)), nano.candidates((0,)), strict=True):
        assert paper.requested_values == small.requested_values
        assert nano.paper_config(small.requested_values) == paper.config != small.config


def test_an_unknown_scale_or_recipe_is_refused() -> None:
    space = search_spaces.load("resolution")
    with pytest.raises(InputError, match="scale = 'huge': must be one of paper, nano"):
        space.variant(scale="huge")
    with pytest.raises(InputError, match="recipe = 'own': must be one of paper, authors, vit_2021, bit_hyperrule"):
        space.variant(recipe="own")
    with pytest.raises(InputError, match="quickstart starts from a config of its own"):
        search_spaces.load("quickstart").variant(scale="nano")
