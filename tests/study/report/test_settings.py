"""Settings of a study's trials: every active field, where it differs between cells."""

from pathlib import Path

import pytest

from revit.fields import fields_by_path
from search_spaces.framework.ranges import Range
from study.plan import Folders
from study.report.methods_text import methods_text
from study.report.setting_words import WORDS
from study.report.settings import Setting, join, settings
from tests.study.made_plans import plan_of, searched, space_of
from tests.study.report.methods_plans import BASE, methods_of, plan_of_configs

LORA = {"model.adapter": "lora"}
PLATEAU = {"schedule.name": "plateau"}
CHANGES: dict[str, dict[str, object]] = {
    "resolution": {"resolution": 56},
    "data_fraction": {"data_fraction": 0.25},
    "subset_seed": {"data_fraction": 0.5, "subset_seed": 7},
    "val_fraction": {"val_fraction": 0.35},
    "train_crop": {"train_crop": "padded"},
    "crop_scale": {"crop_scale": (0.35, 1.0)},
    "resize_factor": {"train_crop": "resized", "resize_factor": 1.75},
    "crop_padding": {"train_crop": "padded", "crop_padding": 6},
    "hflip": {"hflip": False},
    "mixup": {"mixup": 0.35},
    "cutmix": {"cutmix": 0.45},
    "augmentation": {"augmentation": "trivialaugment"},
    "randaugment_num_ops": {"augmentation": "randaugment", "randaugment_num_ops": 4},
    "randaugment_magnitude": {"augmentation": "randaugment", "randaugment_magnitude": 17},
    "random_erasing": {"random_erasing": 0.35},
    "loss": {"loss": "binary_cross_entropy"},
    "label_smoothing": {"label_smoothing": 0.15},
    "ema_decay": {"ema_decay": 0.995},
    "normalization": {"normalization": "imagenet"},
    "sampling": {"sampling": "with_replacement"},
    "model.name": {"model.name": "bit_nano"},
    "model.pretrained": {"model.pretrained": False},
    "model.weights": {"model.weights": "my.npz"},
    "model.pos_embed": {"model.pos_embed": "none"},
    "model.pos_embed_resize": {"resolution": 56, "model.pos_embed_resize": "hf"},
    "model.head_init": {"model.head_init": "probed"},
    "model.dropout": {"model.dropout": 0.15},
    "model.attn_dropout": {"model.attn_dropout": 0.25},
    "model.head_dropout": {"model.head_dropout": 0.35},
    "model.attn_out_proj": {"model.pretrained": False, "model.attn_out_proj": False},
    "model.embed_std": {"model.pretrained": False, "model.embed_std": 0.7},
    "model.linear_init": {"model.pretrained": False, "model.linear_init": "torch"},
    "model.drop_path": {"model.drop_path": 0.15},
    "model.trained": {"model.trained": "biases"},
    "model.frozen": {"model.frozen": "first_3"},
    "model.adapter": LORA,
    "model.adapter_rank": {**LORA, "model.adapter_rank": 12},
    "model.adapter_alpha": {**LORA, "model.adapter_alpha": 24.0},
    "optimizer.name": {"optimizer.name": "adamw"},
    "optimizer.lr": {"optimizer.lr": 0.07},
    "optimizer.momentum": {"optimizer.momentum": 0.85},
    "optimizer.betas": {"optimizer.name": "adam", "optimizer.betas": (0.8, 0.95)},
    "optimizer.eps": {"optimizer.name": "adam", "optimizer.eps": 1e-5},
    "optimizer.weight_decay": {"optimizer.weight_decay": 0.05},
    "optimizer.layer_decay": {"optimizer.layer_decay": 0.65},
    "optimizer.max_grad_norm": {"optimizer.max_grad_norm": 2.5},
    "schedule.name": {"schedule.name": "linear"},
    "schedule.update": {"schedule.update": "epoch"},
    "schedule.warmup": {"schedule.warmup": 13},
    "schedule.t_max": {"schedule.t_max": 33.0},
    "schedule.milestones": {"schedule.name": "multistep", "schedule.milestones": (0.45, 0.85)},
    "schedule.end_factor": {"schedule.name": "exponential", "schedule.end_factor": 0.07},
    "schedule.plateau_factor": {**PLATEAU, "schedule.plateau_factor": 0.35},
    "schedule.plateau_patience": {**PLATEAU, "schedule.plateau_patience": 2},
    "steps": {"steps": 77},
    "epochs": {"steps": None, "epochs": 3.5},
    "epoch_images": {"steps": None, "epochs": 3.5, "data_fraction": 0.5, "epoch_images": "all"},
    "batch_size": {"batch_size": 96},
    "micro_batch": {"micro_batch": 16},
    "num_evals": {"num_evals": 9},
    "eval_every": {"eval_every": "7 percent"},
    "test_curve": {"test_curve": True},
    "test": {"test": False},
    "test_sets": {"test_sets": ("mnist_5k",)},
    "selection": {"selection": "best_val"},
}
"""Values that make a field active, and another than its default."""
OWN_SENTENCES = ("dataset", "seed")


def test_every_field_is_changed_here() -> None:
    assert set(CHANGES) == set(fields_by_path(type(BASE))) - set(OWN_SENTENCES)


@pytest.mark.parametrize("path", CHANGES)
def test_an_active_field_is_never_left_out_of_table_or_text(path: str) -> None:
    config = BASE.with_values(CHANGES[path])
    methods = methods_of(plan_of_configs({"a": config}))
    stated = {each.path: each for each in methods.settings}
    value = WORDS[path].text(config.flat()[path])
    assert stated[path].value == value
    text = " ".join(methods_text(methods).values())
    assert stated[path].phrase in text or path == "model.name"
    assert (value if value != "none" else WORDS[path].title) in text


@pytest.mark.parametrize("path", [path for path in CHANGES if path not in ("model.name", "model.pretrained")])
def test_a_field_that_differs_between_cells_says_in_which(path: str) -> None:
    changed = BASE.with_values(CHANGES[path])
    methods = methods_of(plan_of_configs({"first": BASE, "second": changed}))
    [setting] = [each for each in methods.settings if each.path == path]
    assert f"{WORDS[path].text(changed.flat()[path])} (second)" in setting.value
    assert "(second)" in " ".join(methods_text(methods).values())


def test_fields_without_an_effect_are_not_stated() -> None:
    stated = {each.path for each in settings(plan_of_configs({"a": BASE}))}
    assert not stated & {"mixup", "optimizer.betas", "model.adapter_rank", "schedule.milestones", "resize_factor"}
    assert {"optimizer.momentum", "optimizer.lr", "schedule.name", "batch_size", "steps"} <= stated


def test_values_of_an_axis_need_no_cells_and_many_numbers_are_a_range() -> None:
    sides = (8, 16, 28, 48, 64)
    configs = {str(side): BASE.with_values({"resolution": side}) for side in sides}
    [setting] = [each for each in settings(plan_of_configs(configs, axis="resolution")) if each.path == "resolution"]
    assert setting.value == "8 px, 16 px, 28 px, 48 px, 64 px"
    assert setting.phrase == "8 to 64 px"


def test_fields_that_depend_on_several_axes_count_their_cells(tmp_path: Path, cache_dir: Path) -> None:
    folders = Folders(store=tmp_path, data=tmp_path, cache=cache_dir)
    plan = plan_of(
        folders, scientific={"resolution": (8, 28), "model.pos_embed": ("learned", "none")}, base=BASE, seeds=(0,)
    )
    crop = [each for each in settings(plan) if each.path == "resolution"]
    assert crop[0].value == "8 px, 28 px"
    hf = BASE.with_values({"model.pos_embed_resize": "hf"})
    by_two = plan_of(
        folders, scientific={"resolution": (8, 28), "model.pos_embed": ("learned", "none")}, base=hf, seeds=(0,)
    )
    [resize] = [each for each in settings(by_two) if each.path == "model.pos_embed_resize"]
    assert resize.value.endswith("(1 of 4 cells)")


def test_a_tuned_field_says_so_once_its_search_is_over(tmp_path: Path, cache_dir: Path) -> None:
    folders = Folders(store=tmp_path, data=tmp_path, cache=cache_dir)
    nuisance = {
        "scientific": {"schedule.name": ("cosine", "constant")},
        "nuisance": {"optimizer.lr": Range(0.01, 0.1, log=True)},
    }
    [before] = [each for each in settings(plan_of(folders, **nuisance)) if each.path == "optimizer.lr"]
    assert before.phrase == "the learning rate still to be tuned"
    records = searched(space_of(**nuisance), folders, lambda config: config.optimizer.lr)
    [after] = [each for each in settings(plan_of(folders, records, **nuisance)) if each.path == "optimizer.lr"]
    assert after.is_tuned
    assert after.phrase.endswith(", tuned in each cell")
    values = {f"{value}": f"{value} of 9 cells" for value in (1, 2, 3, 4, 5)}
    several = Setting(path="optimizer.lr", texts=values, numbers=(3, 1, 5, 2, 4), is_tuned=True)
    assert several.phrase == "a learning rate of 1 to 5, tuned in each cell"


def test_texts_are_joined_as_in_a_sentence() -> None:
    assert [join(["a"], "or"), join(["a", "b", "c"], "or")] == ["a", "a, b or c"]
