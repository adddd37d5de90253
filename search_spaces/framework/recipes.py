"""Recipes: how the experiments are trained, by the paper's text, by its authors' code, and by those they follow.

A recipe is a function from what a trial is about to the values of its config; what a study sets itself wins over it.
`vit_2021` is "An Image is Worth 16x16 Words" (Appendix B.1.1) with its released code, `bit_hyperrule` is "Big Transfer"
(section 3.3) with its released code. docs/recipes.md tells where they differ and what each leaves open.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from revit.datasets.registry import DATASETS
from revit.errors import InputError
from revit.validation import check_types

Values = dict[str, object]
"""Fields of a config by dotted path."""

VIT, VIT_IN1K, BIT = "vit_b16_in21k", "vit_b16_in21k_ft_in1k", "bit_r50x1_in21k"
SCRATCH, SCRATCH_224 = "vit_cifar_scratch", "vit_p16_scratch"
CIFAR = ("cifar10", "cifar100")
FLOWERS_SPLITS = ("flowers102", "flowers102_nelorth")
FLOWERS = "flowers"
"""What studies call Flowers-102 in the split that their recipe trains on. A split's own name means that split."""

NUM_PROCESSES = {VIT: 4, BIT: 2}
"""GPUs that the authors' numbers are consistent with: batches of 32 and of 64 on each make 128."""


@dataclass(frozen=True, kw_only=True)
class RecipeContext:
    """What a recipe is asked for.

    Attributes:
        table: the paper's table whose experiment it is; None for a new question.
        dataset, data_fraction: as in the config.
        model, optimizer, schedule: their names where the study sets them, else None.
    """

    table: int | None
    dataset: str
    data_fraction: float = 1.0
    model: str | None = None
    optimizer: str | None = None
    schedule: str | None = None

    def __post_init__(self) -> None:
        check_types(self)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named way of training.

    Attributes:
        values: the config's values for what it is asked about.
        flowers: the split of Flowers-102 that it trains on.
        nuisance: axes that it tunes on validation images, where the study does not set them itself.
    """

    title: str
    values: Callable[[RecipeContext], Values]
    flowers: str
    nuisance: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def steps(count: int) -> Values:
    """A budget in optimizer steps."""
    return {"steps": count, "epochs": None}


def epochs(count: float) -> Values:
    """A budget in epochs."""
    return {"steps": None, "epochs": count}


def weight_decay(about: RecipeContext) -> float:
    """None, as in all four sources; but AdamW, which none of them uses, would without it be Adam."""
    return 0.05 if about.optimizer == "adamw" else 0.0


def _sgd(about: RecipeContext, *, lr: float, max_grad_norm: float | None) -> Values:
    """The optimizer of all four sources; a study that compares optimizers sets its own name."""
    return {
        "optimizer.name": "sgd",
        "optimizer.lr": lr,
        "optimizer.momentum": 0.9,
        "optimizer.weight_decay": weight_decay(about),
        "optimizer.max_grad_norm": max_grad_norm,
    }


def cycling_cosine(t_max: int, num_processes: int) -> Values:
    """The learning rate of the authors' code: CosineAnnealingLR(T_max=epochs), stepped every batch by every process.

    The rate does not decay: it goes up and down all through the run, with T_max / N steps from peak to zero.
    """
    return {"schedule.name": "cosine", "schedule.t_max": t_max / num_processes}


PARAMETER_STUDY: Values = {
    "schedule.end_factor": 0.9**10,  # gamma .9 after each of 10 epochs
    "schedule.plateau_factor": 0.5,
    "schedule.plateau_patience": 1,
    "num_evals": 10,
}
"""The schedules of Table 5, which only its code describes: one validation an epoch."""


def paper(about: RecipeContext) -> Values:
    """As the paper's text says; where it says nothing, as the ViT paper that it follows, then as its code."""
    values: Values = {
        "model.name": VIT,
        "model.head_init": "zeros",
        "model.pos_embed_resize": "jax",
        "resolution": 384,
        "crop_scale": (0.05, 1.0),
        **_sgd(about, lr=0.01, max_grad_norm=1.0),
        "schedule.name": "cosine",
        "schedule.warmup_steps": 0,
        "batch_size": 128,
        "val_fraction": 0.02 if about.dataset in CIFAR else 0.1,
        "selection": "last",
        **_authors_budget(about),
    }
    if about.table == 5:
        values |= {"model.name": VIT_IN1K, "model.dropout": 0.1, "resolution": 224, "batch_size": 32, **PARAMETER_STUDY}
    if about.table == 6:
        values |= _from_scratch(about) | {"model.dropout": 0.1}
    return values


def authors(about: RecipeContext) -> Values:
    """As the authors' code ran, but for one thing: nothing is chosen on test images.

    Theirs scored and chose on the test split (D10). Here it is scored as often, as `test_curve`; where they chose an
    epoch, or lowered the rate, a part of the training split takes the test split's place.
    """
    if about.table == 5:
        return _authors_parameter_study(about)
    if about.table == 6:
        return _authors_ablation(about)
    model = about.model or VIT
    t_max = _authors_epochs(about)
    return {
        "model.name": model,
        "model.head_init": "normal" if model == BIT else "trunc_normal",
        "model.pos_embed_resize": "hf",
        "resolution": 384,
        "crop_scale": (0.08, 1.0),
        **_sgd(about, lr=0.01, max_grad_norm=1.0),
        "batch_size": 128,
        "val_fraction": 0.0,
        "selection": "last",
        "test_curve": True,
        "num_evals": t_max if about.table in (3, 4) else 5,
        **cycling_cosine(t_max, NUM_PROCESSES.get(model, 1)),
        **_authors_budget(about),
    }


def _authors_epochs(about: RecipeContext) -> int:
    """Epochs that their scripts were given, as far as it shows: 9 for Flowers-102, else 7."""
    return 9 if about.dataset in FLOWERS_SPLITS else 7


def _authors_budget(about: RecipeContext) -> Values:
    """Tables 1 and 2 stop after a number of steps, 3 and 4 after a number of epochs, 5 after 10 epochs."""
    if about.table == 5:
        return epochs(10)
    by_steps = about.table in (None, 1, 2) and about.dataset in CIFAR + FLOWERS_SPLITS
    if by_steps:
        return steps(2500 if about.dataset in CIFAR else 500)
    return epochs(_authors_epochs(about))


def _authors_parameter_study(about: RecipeContext) -> Values:
    schedule = about.schedule or "cosine"
    return {
        "model.name": VIT_IN1K,
        "model.head_init": "zeros",
        "model.head_dropout": 0.1,
        "model.pos_embed_resize": "hf",
        "resolution": 224,
        "train_crop": "none",
        "hflip": False,
        **_sgd(about, lr=1e-3, max_grad_norm=1.0),
        "schedule.name": schedule,
        "schedule.update": "step" if schedule == "linear" else "epoch",
        "batch_size": 32,
        "val_fraction": 0.02,
        "selection": "best_val",
        "test_curve": True,
        **PARAMETER_STUDY,
        **epochs(10),
    }


def _authors_ablation(about: RecipeContext) -> Values:
    own = {
        "model.attn_out_proj": False,
        "model.attn_dropout": 0.1,
        "model.embed_std": 1.0,
        "model.linear_init": "torch",
        "model.head_init": "torch",
        "sampling": "with_replacement",
        "normalization": "cifar10",
    }
    values = _from_scratch(about) | {"model.dropout": 0.1, "test_curve": True}
    return values if about.model == SCRATCH_224 else values | own  # that one's script is not published


def _from_scratch(about: RecipeContext) -> Values:
    """What is known of Table 6 only from its code, and of the run at 224 px from its log."""
    model = about.model or SCRATCH
    if model not in (SCRATCH, SCRATCH_224):
        raise InputError(f"model.name = {model!r}: Table 6 trains {SCRATCH} or {SCRATCH_224} from scratch")
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
        "model.head_init": "trunc_normal",
        "optimizer.name": "adam",
        "optimizer.max_grad_norm": None,
        "schedule.name": "constant",
        "val_fraction": 0.1,
        "selection": "best_val",
        **{SCRATCH: at_32, SCRATCH_224: at_224}[model],
    }


def vit_2021(about: RecipeContext) -> Values:
    """The original: batch 512, one zero head, cosine after warmup; the rate is chosen of four on a part of train."""
    _only_fine_tunes("vit_2021", about)
    lengths: dict[str, int] = {**dict.fromkeys(CIFAR, 10_000), **dict.fromkeys(FLOWERS_SPLITS, 500)}
    length = lengths.get(about.dataset, 2500)  # VTAB's, for sets that the paper does not fine-tune on
    return {
        "model.name": VIT,
        "model.head_init": "zeros",
        "model.pos_embed_resize": "jax",
        "resolution": 384,
        "crop_scale": (0.05, 1.0),
        **_sgd(about, lr=0.01, max_grad_norm=1.0),
        "schedule.name": "cosine",
        "schedule.warmup_steps": 100 if length == 500 else 500,
        "batch_size": 512,
        "val_fraction": 0.02 if about.dataset in CIFAR else 0.1,
        "selection": "last",
        **steps(length),
    }


def bit_hyperrule(about: RecipeContext) -> Values:
    """One rule for every dataset: length, mixup and resolution follow from its size."""
    _only_fine_tunes("bit_hyperrule", about)
    if about.dataset not in DATASETS:
        raise InputError(f"recipe bit_hyperrule goes by the size of a dataset, which is not known of {about.dataset}")
    spec = DATASETS[about.dataset]
    is_small = spec.num_train * about.data_fraction < 20_000
    length = {
        True: {**steps(500), "schedule.warmup_steps": 100, "schedule.milestones": (0.4, 0.6, 0.8), "mixup": 0.0},
        False: {**steps(10_000), "schedule.warmup_steps": 500, "schedule.milestones": (0.3, 0.6, 0.9), "mixup": 0.1},
    }[is_small]
    tiny_images = {"resolution": 128, "resize_factor": 160 / 128}
    larger_images = {"resolution": 480, "resize_factor": 512 / 480}
    return {
        "model.name": BIT,
        "model.head_init": "zeros",
        "model.pos_embed_resize": "jax",
        "train_crop": "resized",
        **_sgd(about, lr=0.003, max_grad_norm=None),
        "schedule.name": "multistep",
        "batch_size": 512,
        "val_fraction": 0.02 if about.dataset in CIFAR else 0.1,
        "selection": "last",
        **(tiny_images if spec.tiny else larger_images),
        **length,
    }


def _only_fine_tunes(recipe: str, about: RecipeContext) -> None:
    if about.table == 6:
        raise InputError(f"recipe {recipe} says nothing of training from scratch (Table 6); known are paper, authors")


RECIPES: dict[str, Recipe] = {
    "paper": Recipe(title="as the paper's text says", values=paper, flowers="flowers102_nelorth"),
    "authors": Recipe(title="as its authors' code ran", values=authors, flowers="flowers102_nelorth"),
    "vit_2021": Recipe(
        title="as the ViT paper fine-tunes",
        values=vit_2021,
        flowers="flowers102",
        nuisance={"optimizer.lr": (0.001, 0.003, 0.01, 0.03)},
    ),
    "bit_hyperrule": Recipe(title="as Big Transfer fine-tunes", values=bit_hyperrule, flowers="flowers102"),
}
