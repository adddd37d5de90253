"""The studies of the paper: as many trials as they say, valid in every recipe and at every scale."""

import importlib
import re

import pytest

import search_spaces
from revit.datasets.registry import DATASETS
from revit.errors import InputError
from revit.models.architectures import MODELS
from search_spaces.framework.claim_axes import check_claim, restate_claim
from search_spaces.framework.recipes import RECIPES
from search_spaces.framework.scales import SCALES
from search_spaces.framework.space import SearchSpace

TABLES = {
    "replication": 1,
    "resolution": 2,
    "data_fraction": 3,
    "domain_shift": 4,
    "optimizer_schedule": 5,
    "pos_embed": 6,
}


def studies() -> dict[str, SearchSpace]:
    spaces = {name: search_spaces.load(name) for name in search_spaces.names()}
    return {name: space for name, space in spaces.items() if space.base is None}


def test_every_table_of_the_paper_has_its_study() -> None:
    assert {name: space.table for name, space in studies().items() if space.table} == TABLES
    assert set(studies()) == {*TABLES, "ablation_grid"}


@pytest.mark.parametrize("name", search_spaces.names())
def test_its_docstring_says_how_to_run_it_and_how_many_trials_that_is(name: str) -> None:
    space = search_spaces.load(name)
    told = importlib.import_module(f"search_spaces.{name}").__doc__ or ""
    assert re.search(rf"^Run: +python run_study.py run {name}", told, flags=re.MULTILINE)
    [count] = re.findall(r"^Trials:.* = (\d+)", told, flags=re.MULTILINE)
    assert len(space.candidates(space.seeds)) == int(count)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", studies())
def test_every_study_is_valid_by_every_recipe_at_every_scale(name: str, recipe: str, scale: str) -> None:
    space = studies()[name]
    if space.table == 6 and recipe in ("vit_2021", "bit_hyperrule"):
        with pytest.raises(InputError, match="training from scratch"):
            space.variant(scale=scale, recipe=recipe)
        return
    there = space.variant(scale=scale, recipe=recipe)
    asked = there.candidates((0,))
    cells = {str(each.cell) for each in asked}
    assert len(cells) == len(space.candidates((0,))), "as many cells as by the paper's recipe at its scale"
    assert len(asked) == len(cells) * (4 if "optimizer.lr" in there.nuisance_axes else 1)
    for each in asked:
        assert each.config.dataset in DATASETS
        assert each.config.model.name in MODELS


@pytest.mark.parametrize("recipe", ["paper", "authors"])
@pytest.mark.parametrize("name", studies())
def test_at_the_nano_scale_everything_comes_with_installed_packages(name: str, recipe: str) -> None:
    for each in studies()[name].variant(scale="nano", recipe=recipe).candidates((0,)):
        assert not DATASETS[each.config.dataset].files
        assert each.config.model.name in ("vit_nano", "bit_nano")
        assert each.config.resolution <= 64


def test_labels_are_what_is_trained() -> None:
    cells = [each.cell for each in studies()["resolution"].variant(scale="nano").candidates((0,))]
    assert [cell["resolution"] for cell in cells[:5]] == [64, 48, 28, 16, 8]
    assert {cell["dataset"] for cell in cells} == {"photos", "digits"}
    flowers = {
        recipe: {str(each.cell["dataset"]) for each in studies()["replication"].variant(recipe=recipe).candidates((0,))}
        for recipe in RECIPES
    }
    assert flowers["paper"] == flowers["authors"] == {"cifar10", "cifar100", "flowers102_nelorth"}
    assert flowers["vit_2021"] == flowers["bit_hyperrule"] == {"cifar10", "cifar100", "flowers102"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_split_of_flowers_that_is_named_is_trained_on(recipe: str) -> None:
    """The axis that docs/recipes.md recommends."""
    space = SearchSpace(
        name="asks", question="?", recipe=recipe, scientific={"dataset": ("flowers102_nelorth", "flowers102")}
    )
    cells = space.candidates((0,))
    assert list(dict.fromkeys(each.config.dataset for each in cells)) == ["flowers102_nelorth", "flowers102"]
    assert all(each.cell["dataset"] == each.config.dataset for each in cells)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", studies())
def test_a_study_with_claims_trains_the_models_that_it_names(name: str, recipe: str) -> None:
    """Its question and claims are about these, whatever model the recipe trains where none is named."""
    space = studies()[name]
    assert "model.name" in space.explicit_fields
    if recipe == "paper" or (space.table == 6 and recipe != "authors"):
        return
    models = paper_models(space)
    assert paper_models(space.variant(recipe=recipe)) == models


def paper_models(space: SearchSpace) -> dict[str, str]:
    cells = [each.requested_values for each in space.candidates((0,))]
    return {str(cell): space.paper_config(cell).model.name for cell in cells}


@pytest.mark.parametrize("recipe", ["paper", "authors"])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", studies())
def test_restated_claims_name_trained_values(name: str, scale: str, recipe: str) -> None:
    """Each value that a claim names is one that tables show; without replacements no claim changes."""
    space = studies()[name].variant(scale=scale, recipe=recipe)
    cells = [each.cell for each in space.candidates((0,))]
    trained = {axis: tuple(dict.fromkeys(cell[axis] for cell in cells)) for axis in space.scientific}
    for claim in space.claims:
        check_claim(restate_claim(claim, space.trained_values), trained)
        assert restate_claim(claim, {}) == claim


def test_at_the_nano_scale_claims_have_its_rates_and_pixels() -> None:
    told = {
        name: studies()[name].variant(scale="nano") for name in ("resolution", "optimizer_schedule", "data_fraction")
    }
    lines = [str(restate_claim(claim, space.trained_values)) for space in told.values() for claim in space.claims]
    assert lines[0] == "resolution 28 is the best of 64, 48, 28, 16, 8, where dataset photos"
    assert lines[2].endswith("where optimizer.lr 0.01, schedule.name cosine")
    gain = "the gain from data_fraction 0.1 to 1.0 is larger for model.name vit_nano than for bit_nano"
    assert lines[4].startswith(f"{gain}, where dataset photos")


def test_axes_trained_differently_between_cells_keep_their_values() -> None:
    """At the nano scale rates grow tenfold where a trial fine-tunes, and only there."""
    axes = {"optimizer.lr": (0.01, 0.001), "model.pretrained": (True, False)}
    space = SearchSpace(name="asks", question="?", fixed={"dataset": "cifar10"}, scientific=axes, scale="nano")
    assert space.trained_values.keys() == {"model.pretrained"}


@pytest.mark.parametrize("scale", SCALES)
def test_tables_1_and_2_share_the_trials_at_384(scale: str) -> None:
    one = {each.config for each in studies()["replication"].variant(scale=scale).candidates((0,))}
    two = {each.config for each in studies()["resolution"].variant(scale=scale).candidates((0,))}
    assert len(one & two) == 2


def test_matched_steps_gives_every_fraction_the_steps_of_the_whole() -> None:
    space = studies()["data_fraction"]
    for each in space.candidates((0,)):
        if each.cell["dataset"] != "cifar100" or each.cell["model.name"] != "vit_b16_in21k":
            continue
        num_steps = each.config.num_steps(round(49_000 * each.config.data_fraction), 49_000)
        share = each.config.data_fraction if each.cell["budget"] == "matched epochs" else 1
        assert num_steps == pytest.approx(share * 7 * 49_000 / 128, rel=0.03)


def test_a_scale_or_recipe_that_is_none() -> None:
    space = studies()["resolution"]
    with pytest.raises(InputError, match="scale = 'huge': known are paper, nano"):
        space.variant(scale="huge")
    with pytest.raises(InputError, match="recipe = 'own': known are paper, authors, vit_2021, bit_hyperrule"):
        space.variant(recipe="own")
    with pytest.raises(InputError, match="quickstart starts from a config of its own"):
        search_spaces.load("quickstart").variant(scale="nano")


def test_values_without_a_nano_proxy_are_named() -> None:
    space = SearchSpace(
        name="asks", question="?", fixed={"dataset": "cifar10"}, scientific={"resolution": (160,)}, seeds=(0,)
    )
    with pytest.raises(InputError, match="resolution = 160: it has no proxy at the nano scale"):
        space.variant(scale="nano")
