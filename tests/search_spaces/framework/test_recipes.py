"""Recipes: the values of their sources, typed out here a second time."""

import math

import pytest

import search_spaces
from revit.budget import compile_budget, evenly_spaced_steps
from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.training.schedules import Schedule
from search_spaces.framework.recipes import RECIPES, RecipeContext
from search_spaces.framework.scales import SCALES
from search_spaces.framework.space import SearchSpace

VIT, VIT_IN1K, BIT = "vit_b16_in21k", "vit_b16_in21k_ft_in1k", "bit_r50x1_in21k"
NELORTH, OFFICIAL = "flowers102_nelorth", "flowers102"

SGD = {"optimizer.name": "sgd", "optimizer.momentum": 0.9, "optimizer.weight_decay": 0.0}
PAPER = {**SGD, "optimizer.lr": 0.01, "optimizer.max_grad_norm": 1.0, "batch_size": 128, "resolution": 384,
         "schedule.name": "cosine", "schedule.t_max": None, "schedule.warmup": 0, "model.name": VIT,
         "model.head_init": "zeros", "selection": "last", "test_curve": False}  # fmt: skip
AUTHORS = {**SGD, "optimizer.lr": 0.01, "optimizer.max_grad_norm": 1.0, "batch_size": 128, "resolution": 384,
           "schedule.name": "cosine", "schedule.warmup": 0, "model.name": VIT, "model.dropout": 0.0,
           "model.head_init": "trunc_normal", "model.pos_embed_resize": "hf", "crop_scale": (0.08, 1.0), "hflip": True,
           "train_crop": "random_resized", "val_fraction": 0.0, "test_curve": True}  # fmt: skip
AUTHORS_5 = {**SGD, "optimizer.lr": 1e-3, "optimizer.max_grad_norm": 1.0, "batch_size": 32, "resolution": 224,
             "model.name": VIT_IN1K, "model.head_init": "zeros", "model.head_dropout": 0.1, "model.dropout": 0.0,
             "train_crop": "none", "hflip": False, "epochs": 10, "num_evals": 10, "test_curve": True}  # fmt: skip
AUTHORS_6 = {"model.name": "vit_cifar_scratch", "model.pretrained": False, "model.dropout": 0.1,
             "model.attn_out_proj": False, "model.embed_std": 1.0, "model.attn_dropout": 0.1,
             "model.linear_init": "torch", "model.head_init": "torch", "resolution": 32, "optimizer.name": "adam",
             "optimizer.lr": 2e-3, "optimizer.weight_decay": 2e-4, "optimizer.max_grad_norm": None, "batch_size": 128,
             "schedule.name": "constant", "train_crop": "padded", "crop_padding": 2, "hflip": True,
             "sampling": "with_replacement", "normalization": "cifar10", "epochs": 501, "steps": None}  # fmt: skip
VIT_2021 = {**SGD, "optimizer.max_grad_norm": 1.0, "batch_size": 512, "resolution": 384, "schedule.name": "cosine",
            "model.head_init": "zeros", "model.pos_embed_resize": "jax", "crop_scale": (0.05, 1.0),
            "train_crop": "random_resized", "hflip": True, "model.dropout": 0.0}  # fmt: skip
BIT_RULE = {**SGD, "optimizer.lr": 0.003, "optimizer.max_grad_norm": None, "batch_size": 512,
            "model.name": BIT, "model.head_init": "zeros", "schedule.name": "multistep", "train_crop": "resized",
            "hflip": True}  # fmt: skip

EXPECTED: dict[str, tuple[str, dict[str, object], dict[str, object]]] = {
    # recipe; table and values of the study; expected values
    "paper, Table 1, CIFAR": ("paper", {"table": 1, "dataset": "cifar100"},
        {**PAPER, "steps": 2500, "epochs": None, "val_fraction": 0.02}),
    "paper, Table 2, Flowers": ("paper", {"table": 2, "dataset": "flowers"},
        {**PAPER, "dataset": NELORTH, "steps": 500}),
    "paper, Flowers by its official split": ("paper", {"table": 2, "dataset": OFFICIAL},
        {**PAPER, "dataset": OFFICIAL, "steps": 500}),
    "authors, Flowers by its official split": ("authors", {"table": 1, "dataset": OFFICIAL},
        {**AUTHORS, "dataset": OFFICIAL, "steps": 500, "schedule.t_max": 9 / 4}),
    "vit_2021, Flowers by the paper's split": ("vit_2021", {"table": 1, "dataset": NELORTH},
        {**VIT_2021, "dataset": NELORTH, "steps": 500}),
    "paper, Table 3, Flowers": ("paper", {"table": 3, "dataset": "flowers"}, {**PAPER, "steps": None, "epochs": 9}),
    "paper, Table 4": ("paper", {"table": 4, "dataset": "weapons"}, {**PAPER, "epochs": 7, "val_fraction": 0.1}),
    "paper, Table 5": ("paper", {"table": 5, "dataset": "cifar10"},
        {**PAPER, "model.name": VIT_IN1K, "batch_size": 32, "resolution": 224, "model.dropout": 0.1, "epochs": 10,
         "num_evals": 10, "schedule.end_factor": 0.9**10, "schedule.plateau_factor": 0.5,
         "schedule.plateau_patience": 1}),
    "paper, Table 6": ("paper", {"table": 6, "dataset": "cifar10"},
        {**AUTHORS_6, "model.attn_out_proj": True, "model.embed_std": None, "model.attn_dropout": 0.0,
         "model.linear_init": "timm", "model.head_init": "trunc_normal", "sampling": "shuffled",
         "normalization": "model", "test_curve": False}),
    "authors, Table 1, CIFAR": ("authors", {"table": 1, "dataset": "cifar10"},
        {**AUTHORS, "steps": 2500, "schedule.t_max": 7 / 4, "num_evals": 5}),
    "authors, Table 2, Flowers": ("authors", {"table": 2, "dataset": "flowers"},
        {**AUTHORS, "dataset": NELORTH, "steps": 500, "schedule.t_max": 9 / 4, "num_evals": 5}),
    "authors, Table 3, BiT": ("authors", {"table": 3, "dataset": "cifar100", "model.name": BIT},
        {**AUTHORS, "model.name": BIT, "model.head_init": "normal", "epochs": 7, "schedule.t_max": 7 / 2,
         "num_evals": 7}),
    "authors, Table 4": ("authors", {"table": 4, "dataset": "plant_health"},
        {**AUTHORS, "epochs": 7, "schedule.t_max": 7 / 4, "num_evals": 7}),
    "authors, Table 5, cosine": ("authors", {"table": 5, "dataset": "cifar10"},
        {**AUTHORS_5, "schedule.name": "cosine", "schedule.update": "epoch"}),
    "authors, Table 5, linear": ("authors", {"table": 5, "dataset": "cifar10", "schedule.name": "linear"},
        {**AUTHORS_5, "schedule.update": "step"}),
    "authors, Table 5, plateau": ("authors", {"table": 5, "dataset": "cifar10", "schedule.name": "plateau"},
        {**AUTHORS_5, "schedule.plateau_factor": 0.5, "schedule.plateau_patience": 1}),
    "authors, Table 6": ("authors", {"table": 6, "dataset": "cifar10"}, AUTHORS_6),
    "authors, the unreported run": ("authors", {"table": 6, "dataset": "cifar10", "model.name": "vit_p16_scratch"},
        {"resolution": 224, "optimizer.name": "adam", "optimizer.lr": 1e-3, "batch_size": 32, "epochs": 20}),
    "vit_2021, CIFAR": ("vit_2021", {"table": 1, "dataset": "cifar10"},
        {**VIT_2021, "steps": 10_000, "schedule.warmup": 500, "val_fraction": 0.0}),
    "vit_2021, Flowers": ("vit_2021", {"table": 1, "dataset": "flowers"},
        {**VIT_2021, "dataset": OFFICIAL, "steps": 500, "schedule.warmup": 100, "val_fraction": 0.0}),
    "vit_2021, elsewhere": ("vit_2021", {"table": 4, "dataset": "weapons"}, {**VIT_2021, "steps": 2500}),
    "bit_hyperrule, CIFAR": ("bit_hyperrule", {"table": 3, "dataset": "cifar100"},
        {**BIT_RULE, "steps": 10_000, "schedule.warmup": 500, "schedule.milestones": (0.3, 0.6, 0.9),
         "mixup": 0.1, "resolution": 128, "resize_factor": 160 / 128}),
    "bit_hyperrule, little CIFAR": ("bit_hyperrule", {"table": 3, "dataset": "cifar100", "data_fraction": 0.25},
        {**BIT_RULE, "steps": 500, "schedule.warmup": 100, "schedule.milestones": (0.4, 0.6, 0.8), "mixup": 0.0}),
    "bit_hyperrule, Flowers": ("bit_hyperrule", {"table": 3, "dataset": "flowers"},
        {**BIT_RULE, "dataset": OFFICIAL, "steps": 500, "resolution": 480, "resize_factor": 512 / 480}),
    "bit_hyperrule, many tiny images": ("bit_hyperrule", {"table": None, "dataset": "fashion_mnist"},
        {**BIT_RULE, "steps": 10_000, "mixup": 0.1, "resolution": 128, "resize_factor": 160 / 128}),
    "bit_hyperrule, few tiny images": ("bit_hyperrule", {"table": None, "dataset": "digits"},
        {**BIT_RULE, "steps": 500, "mixup": 0.0, "resolution": 128, "resize_factor": 160 / 128}),
    "bit_hyperrule, ViT by BiT's rule": ("bit_hyperrule", {"table": 3, "dataset": "cifar100", "model.name": VIT},
        {**BIT_RULE, "model.name": VIT, "steps": 10_000}),
}  # fmt: skip


EXPERIMENTS = {
    None: "transfer", 1: "transfer", 2: "transfer", 3: "transfer_by_epochs", 4: "transfer_by_epochs",
    5: "parameter_study", 6: "from_scratch",
}  # fmt: skip
"""Experiment of each table of the paper."""


def config_of(recipe: str, table: int | None, fixed: dict[str, object]) -> FineTuneConfig:
    space = SearchSpace(
        name="example",
        question="?",
        experiment=EXPERIMENTS[table],
        recipe=recipe,
        fixed=fixed,
        scientific={"subset_seed": (0,)},
        seeds=(0,),
    )
    return space.candidates((0,))[0].config


@pytest.mark.parametrize("case", EXPECTED)
def test_a_recipe_has_the_values_of_its_source(case: str) -> None:
    recipe, study, expected = EXPECTED[case]
    fixed = {path: value for path, value in study.items() if path != "table"}
    flat = config_of(recipe, study["table"], fixed).flat()
    assert {path: flat[path] for path in expected} == expected


def rates(config: FineTuneConfig, num_used: int, num_steps: int | None = None) -> list[float]:
    """The learning rate at every step of a trial on `num_used` images."""
    total = config.num_steps(num_used, num_used)
    schedule = Schedule(config.schedule, config.optimizer.lr, compile_budget(config, num_used, num_used))
    return [schedule.lr(step) for step in range(num_steps or total)]


def test_the_authors_cosine_oscillates() -> None:
    """The values at 7 epochs on 4 GPUs, and their mean."""
    config = config_of("authors", 1, {"dataset": "cifar10"})
    trace = rates(config, 50_000)
    period = [10, 3.89, 0.5, 8.12, 8.12, 0.5, 3.89]
    assert [1e3 * rate for rate in trace[:14]] == pytest.approx(2 * period, abs=0.006)
    assert len(trace) == 2500
    assert sum(trace) / len(trace) == pytest.approx(0.005, rel=0.01)


@pytest.mark.parametrize(
    ("t_max", "num_processes", "num_values", "step", "rate"),
    [(7, 1, 8, 2500, 0.0), (7, 2, 4, 2500, 10.0), (7, 4, 4, 2500, 10.0), (7, 8, 4, 2500, 10.0),
     (9, 2, 5, 500, 0.3), (9, 4, 5, 500, 8.83), (9, 8, 5, 500, 5.87)],
)  # fmt: skip
def test_the_cycling_cosine_depends_on_the_number_of_processes(
    t_max: int, num_processes: int, num_values: int, step: int, rate: float
) -> None:
    fixed = {"dataset": "cifar10", "steps": 2500, "schedule.t_max": t_max / num_processes}
    trace = rates(config_of("authors", 1, fixed), 50_000)
    assert len({round(value, 7) for value in trace}) == num_values
    assert 1e3 * trace[step - 1] == pytest.approx(rate, abs=0.006)


@pytest.mark.parametrize(
    ("schedule", "by_epoch"),
    [
        ("cosine", [1, 0.976, 0.905, 0.794, 0.655, 0.5, 0.345, 0.206, 0.095, 0.024]),
        ("linear", [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        ("exponential", [0.9**epoch for epoch in range(10)]),
    ],
)
def test_the_authors_rates_at_the_start_of_each_epoch_of_table_5(schedule: str, by_epoch: list[float]) -> None:
    config = config_of("authors", 5, {"dataset": "cifar10", "schedule.name": schedule})
    trace = rates(config, 50_000)
    assert len(trace) == 15_630
    assert [1e3 * trace[epoch * 1563] for epoch in range(10)] == pytest.approx(by_epoch, abs=6e-4)
    assert (trace[1562] == trace[0]) is (schedule != "linear")


AUTHORS_PLATEAU = [0.051, 0.048, 0.048, 0.050, 0.053, 0.054, 0.056, 0.057, 0.058, 0.058]
"""Losses after each epoch, from the log of the authors' code; below, the rates of its scheduler."""
AUTHORS_PLATEAU_RATES = [1e-3] * 4 + [5e-4] * 2 + [2.5e-4] * 2 + [1.25e-4] * 2


@pytest.mark.parametrize("recipe", ["paper", "authors"])
@pytest.mark.parametrize("scale", SCALES)
def test_plateau_validates_every_epoch_of_table_5_and_halves_as_the_authors_did(recipe: str, scale: str) -> None:
    space = search_spaces.load("optimizer_schedule").variant(scale=scale, recipe=recipe)
    wanted = {"optimizer.name": "sgd", "learning_rate": "fixed", "schedule.name": "plateau"}
    [config] = [each.config for each in space.candidates((0,)) if each.requested_values == wanted]
    num_steps = config.num_steps(3600, 3600)
    assert len(evenly_spaced_steps(num_steps, config.num_evals)) == len(AUTHORS_PLATEAU)
    schedule = Schedule(config.schedule, 1e-3, compile_budget(config, 3600, 3600))
    rates = []
    for loss in AUTHORS_PLATEAU:
        rates.append(schedule.lr(0))
        schedule.update_plateau(loss)
    assert rates == pytest.approx(AUTHORS_PLATEAU_RATES)


@pytest.mark.parametrize("recipe", ["paper", "authors"])
def test_exponential_of_table_5_loses_a_tenth_per_epoch(recipe: str) -> None:
    config = config_of(recipe, 5, {"dataset": "cifar10", "schedule.name": "exponential", "optimizer.lr": 1e-3})
    trace = rates(config, 50_000)
    assert trace[::1563] == pytest.approx([1e-3 * 0.9**epoch for epoch in range(10)])
    assert config.schedule.end_factor == pytest.approx(0.349, abs=5e-4)


def test_the_originals_warm_up_and_decay() -> None:
    vit = rates(config_of("vit_2021", 1, {"dataset": "cifar10", "optimizer.lr": 0.03}), 49_000)
    for step in range(500, 10_000):
        assert vit[step] == pytest.approx(0.03 * 0.5 * (1 + math.cos(math.pi * (step - 500) / 9500)), abs=1e-12)
    assert vit[:500] == pytest.approx([0.03 * (step + 1) / 500 for step in range(500)])
    bit = rates(config_of("bit_hyperrule", 3, {"dataset": "cifar100"}), 49_000)
    assert [bit[step] for step in (500, 3000, 3001, 6001, 9001)] == pytest.approx([3e-3, 3e-3, 3e-4, 3e-5, 3e-6])


@pytest.mark.parametrize(
    ("table", "dataset", "num_train", "by_fraction"),
    [
        (3, "flowers", 7169, {1.0: 513, 0.5: 252, 0.25: 126, 0.1: 54}),
        (3, "cifar100", 50_000, {1.0: 2737, 0.5: 1372, 0.25: 686, 0.1: 280}),
        (4, "plant_health", 600, {1.0: 35}),
        (4, "weapons", 1251, {1.0: 70}),
    ],
)
def test_epochs_compile_to_the_steps_of_the_authors_code(
    table: int, dataset: str, num_train: int, by_fraction: dict[float, int]
) -> None:
    for fraction, num_steps in by_fraction.items():
        config = config_of("authors", table, {"dataset": dataset, "data_fraction": fraction})
        assert config.num_steps(round(fraction * num_train), num_train) == num_steps


def test_vit_2021_tunes_its_learning_rate_unless_the_study_does() -> None:
    space = SearchSpace(
        name="example", question="?", recipe="vit_2021", fixed={"dataset": "cifar10"}, scientific={"subset_seed": (0,)}
    )
    assert space.nuisance_axes == {"optimizer.lr": (0.001, 0.003, 0.01, 0.03)}
    assert (space.sampler, len(space.candidates((0,)))) == ("grid", 1)
    own = SearchSpace(
        name="example",
        question="?",
        recipe="vit_2021",
        fixed={"dataset": "cifar10"},
        scientific={"optimizer.lr": (0.1,)},
    )
    assert own.nuisance_axes == {}


@pytest.mark.parametrize(("dataset", "share"), [("cifar10", 0.02), ("flowers102", 0.1)])
def test_vit_2021_compares_on_validation_images_and_tests_once_after_training_on_all(
    dataset: str, share: float
) -> None:
    """Appendix B.1.1 of its paper: {.001, .003, .01, .03} on a part of the training split, then all of it."""
    space = SearchSpace(
        name="example", question="?", recipe="vit_2021", fixed={"dataset": dataset}, scientific={"subset_seed": (0,)}
    )
    [cell] = space.list_cells()
    assert space.num_points(cell) == 4
    for lr in (0.001, 0.003, 0.01, 0.03):
        searched = space.search_candidate(cell, {"optimizer.lr": lr}, 0).config
        assert (searched.val_fraction, searched.test, searched.test_curve) == (share, False, False)
        tested = space.candidate(cell, {"optimizer.lr": lr}, 7).config
        assert (tested.val_fraction, tested.test, tested.seed, tested.optimizer.lr) == (0.0, True, 7, lr)
        assert tested == searched.with_values({"val_fraction": 0.0, "test": True, "seed": 7})


@pytest.mark.parametrize("recipe", ["vit_2021", "bit_hyperrule"])
def test_recipes_that_only_fine_tune_refuse_training_from_scratch(recipe: str) -> None:
    with pytest.raises(InputError, match=f"recipe {recipe} does not cover training from scratch"):
        RECIPES[recipe].values(RecipeContext(experiment="from_scratch", dataset="cifar10"))


def test_bit_hyperrule_refuses_a_dataset_of_unknown_size() -> None:
    with pytest.raises(
        InputError, match=r"bit_hyperrule needs the size of the dataset, .* unknown for folder:/flowers"
    ):
        config_of("bit_hyperrule", None, {"dataset": "folder:/flowers"})


@pytest.mark.parametrize("recipe", RECIPES)
def test_adamw_decays_weights_unlike_adam(recipe: str) -> None:
    decays = {
        name: config_of(recipe, 5, {"dataset": "cifar10", "optimizer.name": name}).optimizer.weight_decay
        for name in ("sgd", "adam", "adamw")
    }
    assert decays == {"sgd": 0.0, "adam": 0.0, "adamw": 0.05}
