"""Recipes: named base configs, each from a published source.

A recipe is a function from a RecipeContext to config values. Values that a study sets itself override them. `paper` is
the text of the paper `re_vit` (search_spaces/papers/re_vit.csv), `authors` its authors' code. `vit_2021` is "An Image
is Worth 16x16 Words" (Appendix B.1.1) with its released code, `bit_hyperrule` is "Big Transfer" (section 3.3) with its
released code. docs/recipes.md compares them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from revit.datasets.registry import DATASETS
from revit.errors import InputError
from revit.validation import check_types

Values = dict[str, object]
"""Fields of a config by dotted path."""

VIT, VIT_IN1K, BIT = "vit_b16_in21k", "vit_b16_in21k_ft_in1k", "bit_r50x1_in21k"
SCRATCH, SCRATCH_224 = "vit_cifar_scratch", "vit_p16_scratch"
CIFAR = ("cifar10", "cifar100")
FLOWERS_SPLITS = ("flowers102", "flowers102_trainval", "flowers102_nelorth")
FLOWERS = "flowers"
"""Name of Flowers-102 in studies: the split that the recipe trains on. The name of a split means that split."""

NUM_PROCESSES = {VIT: 4, BIT: 2}
"""GPUs of the authors, as inferred: batches of 32 (ViT) and 64 (BiT) on each make 128."""


Experiment = Literal["transfer", "transfer_by_epochs", "parameter_study", "from_scratch"]
"""Kind of experiment for which a source has values of its own.

`transfer` fine-tunes pretrained weights, by default for the steps that a source states; `transfer_by_epochs` for the
epochs of its code, in equal epochs on less data. `parameter_study` compares optimizers and schedules. `from_scratch`
starts from random weights.
"""


@dataclass(frozen=True, kw_only=True)
class RecipeContext:
    """Facts about a trial from which a recipe derives its values.

    Attributes:
        experiment: kind of experiment.
        dataset, data_fraction: as in the config.
        model, optimizer, schedule: their names where the study sets them, else None.
    """

    experiment: Experiment
    dataset: str
    data_fraction: float = 1.0
    model: str | None = None
    optimizer: str | None = None
    schedule: str | None = None

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Base config of a study.

    Attributes:
        values: function from a trial's context to config values.
        flowers: split of Flowers-102 that it trains on.
        nuisance: axes that it tunes on validation images, unless the study sets their fields itself.
    """

    values: Callable[[RecipeContext], Values]
    flowers: str
    nuisance: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def steps(count: int) -> Values:
    """Return a budget in optimizer steps."""
    return {"steps": count, "epochs": None}


def epochs(count: float) -> Values:
    """Return a budget in epochs."""
    return {"steps": None, "epochs": count}


def _sgd(context: RecipeContext, *, lr: float, max_grad_norm: float | None) -> Values:
    """Return the optimizer of all four sources; a study that compares optimizers overrides its name.

    None of them decays weights, or uses AdamW, which without weight decay would be Adam.
    """
    return {
        "optimizer.name": "sgd",
        "optimizer.lr": lr,
        "optimizer.momentum": 0.9,
        "optimizer.weight_decay": 0.05 if context.optimizer == "adamw" else 0.0,
        "optimizer.max_grad_norm": max_grad_norm,
    }


PARAMETER_STUDY: Values = {
    "schedule.end_factor": 0.9**10,  # gamma .9 after each of 10 epochs
    "schedule.plateau_factor": 0.5,
    "schedule.plateau_patience": 1,
    "num_evals": 10,
}
"""Parameters of the schedules of Table 5, from its code; the text has none. One validation per epoch."""


def _vit(context: RecipeContext) -> Values:
    """Return the values that the paper shares with the ViT paper, which it follows."""
    return {
        "model.name": VIT,
        "model.head_init": "zeros",
        "model.pos_embed_resize": "jax",
        "resolution": 384,
        "crop_scale": (0.05, 1.0),
        **_sgd(context, lr=0.01, max_grad_norm=1.0),
        "schedule.name": "cosine",
        "schedule.warmup": 0,
        "val_fraction": 0.02 if context.dataset in CIFAR else 0.1,
        "selection": "last",
    }


def paper(context: RecipeContext) -> Values:
    """Return values of the paper's text; where it has none, of the ViT paper that it follows, then of its code."""
    values = {**_vit(context), "batch_size": 128, **_authors_budget(context)}
    if context.experiment == "parameter_study":
        values |= {"model.name": VIT_IN1K, "model.dropout": 0.1, "resolution": 224, "batch_size": 32, **PARAMETER_STUDY}
    if context.experiment == "from_scratch":
        values |= _from_scratch(context)
    return values


def authors(context: RecipeContext) -> Values:
    """Return values of the authors' code, except that nothing is selected on test images.

    Their cosine, CosineAnnealingLR(T_max=epochs), is stepped every batch by each of N processes: the learning rate does
    not decay, it oscillates, with T_max / N steps from peak to zero.

    Their code evaluated and selected on the test split. Here the test split is evaluated as often, as `test_curve`;
    where they selected an epoch, or lowered the learning rate, a part of the training split replaces it.
    """
    if context.experiment == "parameter_study":
        return _authors_parameter_study(context)
    if context.experiment == "from_scratch":
        return _authors_ablation(context)
    model = context.model or VIT
    t_max = _authors_epochs(context)
    return {
        "model.name": model,
        "model.head_init": "normal" if model == BIT else "trunc_normal",
        "model.pos_embed_resize": "hf",
        "resolution": 384,
        "crop_scale": (0.08, 1.0),
        **_sgd(context, lr=0.01, max_grad_norm=1.0),
        "batch_size": 128,
        "val_fraction": 0.0,
        "selection": "last",
        "test_curve": True,
        "num_evals": t_max if context.experiment == "transfer_by_epochs" else 5,
        "schedule.name": "cosine",
        "schedule.t_max": t_max / NUM_PROCESSES.get(model, 1),
        **_authors_budget(context),
    }


def _authors_epochs(context: RecipeContext) -> int:
    """Return the epochs of their scripts' defaults: 9 for Flowers-102, else 7."""
    return 9 if context.dataset in FLOWERS_SPLITS else 7


def _authors_budget(context: RecipeContext) -> Values:
    """Return the budget: their steps where the text has them, epochs of their code, 10 epochs in a parameter study."""
    if context.experiment == "parameter_study":
        return epochs(10)
    if context.experiment == "transfer" and context.dataset in CIFAR + FLOWERS_SPLITS:
        return steps(2500 if context.dataset in CIFAR else 500)
    return epochs(_authors_epochs(context))


def _authors_parameter_study(context: RecipeContext) -> Values:
    schedule = context.schedule or "cosine"
    return {
        "model.name": VIT_IN1K,
        "model.head_init": "zeros",
        "model.head_dropout": 0.1,
        "model.pos_embed_resize": "hf",
        "resolution": 224,
        "train_crop": "none",
        "hflip": False,
        **_sgd(context, lr=1e-3, max_grad_norm=1.0),
        "schedule.name": schedule,
        "schedule.update": "step" if schedule == "linear" else "epoch",
        "batch_size": 32,
        "val_fraction": 0.02,
        "selection": "best_val",
        "test_curve": True,
        **PARAMETER_STUDY,
        **epochs(10),
    }


def _authors_ablation(context: RecipeContext) -> Values:
    unpublished_in_text = {
        "model.attn_out_proj": False,
        "model.attn_dropout": 0.1,
        "model.embed_std": 1.0,
        "model.linear_init": "torch",
        "model.head_init": "torch",
        "sampling": "with_replacement",
        "normalization": "cifar10",
    }
    values = {**_from_scratch(context), "test_curve": True}
    return values if context.model == SCRATCH_224 else values | unpublished_in_text  # no script for 224 px


def _from_scratch(context: RecipeContext) -> Values:
    """Return the values of Table 6, from its code, and of the run at 224 px, from its log."""
    model = context.model or SCRATCH
    if model not in (SCRATCH, SCRATCH_224):
        raise InputError(f"model.name = {model!r}: {SCRATCH} or {SCRATCH_224} is trained from scratch")
    at_32 = {
        "resolution": 32,
        "optimizer.lr": 2e-3,
        "optimizer.weight_decay": 2e-4,
        "batch_size": 128,
        "num_evals": 501,
        "train_crop": "padded",
        "crop_padding": 2,
        **epochs(501),
    }
    at_224 = {
        "resolution": 224,
        "optimizer.lr": 1e-3,
        "optimizer.weight_decay": 0.0,
        "batch_size": 32,
        "num_evals": 20,
        "train_crop": "none",
        "hflip": False,
        **epochs(20),
    }
    return {
        "model.name": model,
        "model.pretrained": False,
        "model.dropout": 0.1,
        "model.head_init": "trunc_normal",
        "optimizer.name": "adam",
        "optimizer.max_grad_norm": None,
        "schedule.name": "constant",
        "val_fraction": 0.1,
        "selection": "best_val",
        **{SCRATCH: at_32, SCRATCH_224: at_224}[model],
    }


def vit_2021(context: RecipeContext) -> Values:
    """Return values of the ViT paper: batch 512, zero head, warmup and cosine; the learning rate is tuned."""
    _only_fine_tunes("vit_2021", context)
    lengths: dict[str, int] = {**dict.fromkeys(CIFAR, 10_000), **dict.fromkeys(FLOWERS_SPLITS, 500)}
    length = lengths.get(context.dataset, 2500)  # of VTAB, for datasets that the paper does not fine-tune on
    warmup_steps = 100 if length == 500 else 500
    return {**_vit(context), "schedule.warmup": warmup_steps, "batch_size": 512, **steps(length)}


def bit_hyperrule(context: RecipeContext) -> Values:
    """Return values of BiT-HyperRule: length, mixup and resolution follow from the size of the dataset."""
    _only_fine_tunes("bit_hyperrule", context)
    if context.dataset not in DATASETS:
        raise InputError(f"recipe bit_hyperrule needs the size of the dataset, which is unknown for {context.dataset}")
    spec = DATASETS[context.dataset]
    is_small = spec.num_train * context.data_fraction < 20_000
    length = {
        True: {**steps(500), "schedule.warmup": 100, "schedule.milestones": (0.4, 0.6, 0.8), "mixup": 0.0},
        False: {**steps(10_000), "schedule.warmup": 500, "schedule.milestones": (0.3, 0.6, 0.9), "mixup": 0.1},
    }[is_small]
    tiny_images = {"resolution": 128, "resize_factor": 160 / 128}
    larger_images = {"resolution": 480, "resize_factor": 512 / 480}
    return {
        "model.name": BIT,
        "model.head_init": "zeros",
        "model.pos_embed_resize": "jax",
        "train_crop": "resized",
        **_sgd(context, lr=0.003, max_grad_norm=None),
        "schedule.name": "multistep",
        "batch_size": 512,
        "val_fraction": 0.02 if context.dataset in CIFAR else 0.1,
        "selection": "last",
        **(tiny_images if spec.tiny else larger_images),
        **length,
    }


def _only_fine_tunes(recipe: str, context: RecipeContext) -> None:
    if context.experiment == "from_scratch":
        raise InputError(f"recipe {recipe} does not cover training from scratch; paper and authors do")


RECIPES: dict[str, Recipe] = {
    "paper": Recipe(values=paper, flowers="flowers102_nelorth"),
    "authors": Recipe(values=authors, flowers="flowers102_nelorth"),
    "vit_2021": Recipe(values=vit_2021, flowers="flowers102", nuisance={"optimizer.lr": (0.001, 0.003, 0.01, 0.03)}),
    "bit_hyperrule": Recipe(values=bit_hyperrule, flowers="flowers102"),
}
