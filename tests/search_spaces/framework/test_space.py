"""Search spaces: their trials, the values that cells show, invalid spaces."""

import pytest

import search_spaces
from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.ranges import Range
from search_spaces.framework.recipes import RECIPES
from search_spaces.framework.search import Search
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


def test_a_range_is_searched_where_it_exists_and_keeps_the_value_of_the_study_elsewhere() -> None:
    levels = {"fixed": {"optimizer.lr": 1e-3}, "tuned": {}}
    when = {"optimizer.lr": Range(1e-5, 1e-1, log=True, when={"learning_rate": "tuned"})}
    space = space_of(scientific={"learning_rate": levels}, nuisance=when)
    fixed, tuned = space.list_cells()
    assert (space.num_points(fixed), space.num_points(tuned)) == (1, 16)
    assert space.candidate(fixed, {}, 0).config.optimizer.lr == 1e-3
    assert space.search_candidate(tuned, {"optimizer.lr": 0.02}, 0).config.optimizer.lr == 0.02


@pytest.mark.parametrize(
    ("nuisance", "search", "sampler", "num_points"),
    [
        ({"optimizer.lr": (0.1, 0.2, 0.3)}, Search(), "grid", 3),
        ({"optimizer.lr": (0.1, 0.2, 0.3)}, Search(num_trials=2), "grid", 2),
        ({"optimizer.lr": (0.1, 0.2, 0.3)}, Search(sampler="random"), "random", 3),
        ({"optimizer.lr": Range(0.1, 0.3)}, Search(), "quasi_random", 16),
        ({"optimizer.lr": Range(0.1, 0.3)}, Search(sampler="tpe", num_trials=40), "tpe", 40),
        ({"schedule.warmup": Range(0, 4, integer=True)}, Search(), "quasi_random", 5),
    ],
)
def test_a_search_has_its_trials_or_all_of_a_finite_space(
    nuisance: dict[str, object], search: Search, sampler: str, num_points: int
) -> None:
    space = space_of(nuisance=nuisance, search=search)
    assert space.sampler == sampler
    assert {space.num_points(cell) for cell in space.list_cells()} == {num_points}


def test_a_search_compares_by_the_metric_of_the_study_unless_told() -> None:
    assert space_of(nuisance=LR, metric="loss").objectives == ("loss",)
    assert space_of(nuisance=LR, search=Search(objectives=("accuracy", "train_time_s"))).objectives == (
        "accuracy", "train_time_s",
    )  # fmt: skip


def test_search_trials_are_not_tested_and_tested_trials_have_all_images() -> None:
    base = BASE.with_values({"test_curve": True})
    space = space_of(base=base, nuisance=LR, scientific={"schedule.name": ("cosine", "plateau")})
    cosine, plateau = space.list_cells()
    searched = space.search_candidate(cosine, {"optimizer.lr": 0.01}, 3).config
    assert (searched.test, searched.test_curve, searched.val_fraction, searched.seed) == (False, False, 0.1, 3)
    tested = space.candidate(cosine, {"optimizer.lr": 0.01}, 3).config
    assert (tested.test, tested.test_curve, tested.val_fraction, tested.seed) == (True, True, 0.0, 3)
    assert space.candidate(plateau, {"optimizer.lr": 0.01}, 3).config.val_fraction == 0.1
    assert space_of().candidates((0,))[0].config.val_fraction == 0.1, "nothing is searched"


def test_constraint_leaves_out_points_by_their_typed_config() -> None:
    def no_linear_at_28(config: FineTuneConfig) -> bool:
        return not (config.resolution == 28 and config.schedule.name == "linear")

    cells = [each.cell for each in space_of(constraint=no_linear_at_28, seeds=(0,)).candidates((0,))]
    assert {"resolution": 28, "schedule.name": "linear"} not in cells
    assert len(cells) == 3


LR = {"optimizer.lr": Range(1e-3, 1e-1, log=True)}
INVALID = {
    "a misspelt axis": ({"scientific": {"optimizzer.lr": (0.1,)}}, "optimizer.lr"),
    "an impossible value": ({"scientific": {"resolution": (28, 30)}}, "resolution = 30"),
    "tuning without validation": (
        {"base": BASE.with_values({"val_fraction": 0.0}), "nuisance": {"optimizer.lr": (0.1,)}},
        "val_fraction = 0.0: must be above 0, as nuisance axes are tuned on validation images",
    ),
    "a pruner without validations while training": (
        {"base": BASE.with_values({"num_evals": 1}), "nuisance": LR, "search": Search(pruner="median")},
        "num_evals = 1: must be above 1, as pruner = 'median' compares validations while training",
    ),
    "a pruner without validation images": (
        {"base": BASE.with_values({"val_fraction": 0.0}), "nuisance": LR, "search": Search(pruner="median")},
        "val_fraction = 0.0: must be above 0, as nuisance axes are tuned on validation images",
    ),
    "an axis in two roles": ({"nuisance": {"resolution": (8,)}}, "axis resolution is both scientific and nuisance"),
    "a misspelt range": ({"nuisance": {"optimizer.l": Range(0.1, 1)}}, "optimizer.l"),
    "a bound that builds no config": ({"nuisance": {"optimizer.lr": Range(-1, 1)}}, "optimizer.lr = -1.0: must be"),
    "another bound": ({"nuisance": {"mixup": Range(0, 1), "label_smoothing": Range(0, 2)}}, "label_smoothing = 2.0"),
    "fractions of a whole number": (
        {"nuisance": {"batch_size": Range(8, 64)}},
        "batch_size = 8.0: must be a whole number",
    ),
    "a condition on a value that is not there": (
        {"nuisance": {"optimizer.lr": Range(0.1, 1, when={"resolution": 9})}},
        "axis optimizer.lr, when resolution = 9: must be among 8, 28",
    ),
    "fewer trials than enqueued points": (
        {"nuisance": LR, "search": Search(num_trials=1, enqueue=({}, {}))},
        "num_trials = 1: must be at least 2",
    ),
    "a range without effect in a cell": (
        {"scientific": {"optimizer.name": ("sgd", "adam")}, "nuisance": {"optimizer.momentum": Range(0.5, 0.9)}},
        "optimizer.momentum 0.5 and 0.9 would train the same at optimizer.name adam, optimizer.momentum 0.9: "
        "leave one out by `constraint`, or give its Range a `when`",
    ),
    "a grid over a range": ({"nuisance": LR, "search": Search(sampler="grid")}, "sampler = 'grid': axis optimizer.lr"),
    "a search of nothing": ({"search": Search(num_trials=3)}, "it has a search, and no nuisance axes"),
    "a search that is none": ({"search": {"num_trials": 3}}, "search = {'num_trials': 3}: must be a Search(...)"),
    "trials that are never tested": ({"base": BASE.with_values({"test": False})}, "test = False: must be True"),
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
        "metric = 'train_time_s': must be a metric of predictions, as nuisance axes are tuned on validation images",
    ),
    "an unknown choice of models": (
        {"keep_models": "first"},
        "keep_models = 'first': must be one of none, first_seed, best, all",
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
