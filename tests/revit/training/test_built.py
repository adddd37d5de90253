from collections.abc import Callable, Iterator
from typing import Any

import pytest

from revit.config import FineTuneConfig
from revit.models.build import build_model
from revit.training.optimizers import build_optimizer

ABSENT = object()
FACTORS: dict[str, tuple[object, set[str]]] = {
    "resolution": (16, {"model.resolution", "model.num_tokens", "model.num_params", "model.num_trainable",
                        "model.pos_embed_norm", "model.initial_weights"}),
    "data_fraction": (0.5, {"data.num_train", "data.indices", "data.first_batch"}),
    "subset_seed": (1, {"data.indices", "data.first_batch"}),
    "val_fraction": (0.2, {"data.num_val", "data.num_train", "data.indices", "data.first_batch"}),
    "train_crop": ("none", {"data.train_crop", "data.first_boxes"}),
    "crop_scale": ((0.2, 0.3), {"data.first_boxes"}),
    "mixup": (0.4, {"data.first_mix_share"}),
    "cutmix": (1.0, {"data.first_mix_share", "data.first_cutmix_box"}),
    "augmentation": ("trivialaugment", {"data.augmentation", "data.first_augmented"}),
    "randaugment_num_ops": (3, {"data.first_augmented"}),
    "randaugment_magnitude": (20, {"data.first_augmented"}),
    "random_erasing": (0.5, {"data.first_erased_boxes"}),
    "loss": ("binary_cross_entropy", {"loss.name", "loss.example"}),
    "label_smoothing": (0.1, {"loss.example"}),
    "ema_decay": (0.9, {"ema_decay"}),
    "normalization": ("cifar10", {f"normalization.{part}.{i}" for part in ("mean", "std") for i in range(3)}),
    "sampling": ("with_replacement", {"data.first_batch"}),
    "test_curve": (True, {"test_curve"}),
    "test": (False, {"test"}),
    "schedule.t_max": (2.5, {f"lr_at_step.{step}" for step in (1, 3, 4, 6, 7, 8, 10, 11)}),
    "schedule.update": ("epoch", {f"lr_at_step.{step}" for step in (1, 3, 4, 6, 7, 8, 10, 11)}),
    "hflip": (True, {"data.num_flipped_in_first_batch"}),
    "model.pretrained": (False, {"model.pos_embed_norm", "model.initial_weights"}),
    "model.pos_embed": ("none", {"model.pos_embed_norm", "model.num_trainable", "model.initial_weights",
                                 "model.trained.pos_embed", "model.trained_digest", "optimizer.groups.0.num_tensors"}),
    "model.head_init": ("normal", {"model.initial_weights"}),
    "model.dropout": (0.1, {f"model.dropout.{i}.{key}" for i in range(4) for key in ("module", "p", "calls")}),
    "model.attn_dropout": (0.1, {f"model.dropout.0.{key}" for key in ("module", "p", "calls")}),
    "model.head_dropout": (0.1, {f"model.dropout.0.{key}" for key in ("module", "p", "calls")}),
    "optimizer.name": ("adam", {"optimizer.class", *(f"optimizer.groups.0.{name}" for name in (
        "momentum", "dampening", "nesterov", "betas", "eps", "amsgrad", "decoupled_weight_decay"))}),
    "optimizer.lr": (0.5, {f"lr_at_step.{step}" for step in (0, 1, 3, 4, 6, 7, 8, 10, 11)}),
    "optimizer.momentum": (0.1, {"optimizer.groups.0.momentum"}),
    "optimizer.weight_decay": (0.1, {"optimizer.groups.0.num_tensors", *(f"optimizer.groups.1.{name}" for name in (
        "num_tensors", "weight_decay", "momentum", "dampening", "nesterov", "maximize"))}),
    "optimizer.max_grad_norm": (None, {"max_grad_norm"}),
    "schedule.warmup": (3, {f"lr_at_step.{step}" for step in (0, 1, 3, 4, 6, 7, 8, 10, 11)}),
    "batch_size": (8, {"batch_size", "micro_batch", "data.first_batch", "data.first_boxes"}),
    "micro_batch": (4, {"micro_batch"}),
    "num_evals": (2, {"eval_steps.0", "eval_steps.1", "eval_steps.2"}),
    "selection": ("best_val", {"selection"}),
}  # fmt: skip


RANDAUGMENT = {"augmentation": "randaugment"}
NEEDED: dict[str, dict[str, object]] = {
    "subset_seed": {"data_fraction": 0.9}, "randaugment_num_ops": RANDAUGMENT, "randaugment_magnitude": RANDAUGMENT
}  # fmt: skip
"""Values with which a factor is active."""

SELECTED = {"model.num_trainable", "model.trained", "model.trained_digest", "optimizer.groups"}
ADAPTED = {*SELECTED, "model.num_params", "model.adapter", "model.initial_weights"}
PARTS: list[tuple[dict[str, object], dict[str, object], set[str]]] = [
    ({}, {"model.trained": "head"}, SELECTED),
    ({}, {"model.trained": "attention"}, SELECTED),
    ({"model.trained": "mlp"}, {"model.trained": "attention"}, SELECTED - {"optimizer.groups"}),  # as many tensors
    ({}, {"model.trained": "norms"}, SELECTED),
    ({}, {"model.trained": "biases"}, SELECTED),
    ({}, {"model.frozen": "embedding"}, SELECTED),
    ({"model.frozen": "first_1"}, {"model.frozen": "first_2"}, SELECTED),
    ({}, {"model.adapter": "lora"}, ADAPTED),
    ({"model.adapter": "lora"}, {"model.adapter": "dora"}, ADAPTED - {"model.adapter"}),
    ({"model.adapter": "lora"}, {"model.adapter": "ia3"}, ADAPTED),
    ({"model.adapter": "lora"}, {"model.adapter_rank": 4},
     {"model.num_params", "model.num_trainable", "model.adapter", "model.initial_weights"}),
    ({"model.adapter": "lora"}, {"model.adapter_alpha": 4.0}, {"model.adapter"}),
    ({"model.adapter": "lora"}, {"model.trained": "attention"}, ADAPTED),
    ({}, {"model.drop_path": 0.1}, {"model.dropout"}),
    ({"model.drop_path": 0.1}, {"model.drop_path": 0.2}, {"model.dropout"}),
]  # fmt: skip
"""Values of both configs, values of the other one, entries that differ."""


@pytest.mark.parametrize("case", range(len(PARTS)))
def test_trained_parts_change_the_entries_of_the_model(
    small: FineTuneConfig, train: Callable, make_listener: Callable, case: int
) -> None:
    base, change, expected = PARTS[case]
    configs = (small.with_values(base), small.with_values({**base, **change}))
    one, other = (dict(leaves(built_of(config, train, make_listener))) for config in configs)
    differing = {path for path in one.keys() | other.keys() if one.get(path, ABSENT) != other.get(path, ABSENT)}
    assert {".".join(path.split(".")[:2]) for path in differing} == expected


def leaves(record: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(record, dict | list):
        items = record.items() if isinstance(record, dict) else enumerate(record)
        for name, value in items:
            yield from leaves(value, f"{prefix}{name}.")
    else:
        yield prefix.rstrip("."), record


@pytest.mark.parametrize("factor", FACTORS)
def test_a_factor_changes_the_description_only_where_it_has_an_effect(
    small: FineTuneConfig, train: Callable, make_listener: Callable, factor: str
) -> None:
    value, expected = FACTORS[factor]
    base = small.with_values(NEEDED.get(factor, {}))
    configs = (base, base.with_values({factor: value}))
    one, other = (dict(leaves(built_of(config, train, make_listener))) for config in configs)
    differing = {path for path in one.keys() | other.keys() if one.get(path, ABSENT) != other.get(path, ABSENT)}
    assert differing == expected


@pytest.mark.parametrize("schedule", ["linear", "exponential", "plateau", "constant"])
def test_every_schedule_changes_the_learning_rates(
    small: FineTuneConfig, train: Callable, make_listener: Callable, schedule: str
) -> None:
    cosine = built_of(small, train, make_listener)
    other = built_of(small.with_values({"schedule.name": schedule}), train, make_listener)
    assert cosine["lr_at_step"] != other["lr_at_step"]
    assert cosine["schedule"] == "cosine"
    assert other["schedule"] == schedule


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [("adam", "betas", (0.8, 0.9)), ("adamw", "eps", 0.1), ("muon", "momentum", 0.1),
     ("adan", "betas", (0.8, 0.8, 0.9)), ("sgd", "layer_decay", 0.5), ("lamb", "name", "lambc"),
     ("nesterov", "name", "sgd")],
)  # fmt: skip
def test_every_value_of_an_optimizer_changes_its_groups_alone(
    small: FineTuneConfig, train: Callable, make_listener: Callable, name: str, field: str, value: object
) -> None:
    base = small.with_values({"optimizer.name": name})
    one, other = (
        built_of(config, train, make_listener) for config in (base, base.with_values({f"optimizer.{field}": value}))
    )
    assert one["optimizer"].pop("groups") != other["optimizer"].pop("groups")
    assert one == other


def test_groups_are_those_of_the_optimizer(small: FineTuneConfig, train: Callable, make_listener: Callable) -> None:
    config = small.with_values(
        {"optimizer.name": "muon", "optimizer.layer_decay": 0.5, "optimizer.betas": (0.8, 0.9),
         "optimizer.weight_decay": 0.2}
    )  # fmt: skip
    groups = built_of(config, train, make_listener)["optimizer"]["groups"]
    optimizer = build_optimizer(build_model(config, 10, None), config.optimizer)
    assert len(groups) == len(optimizer.param_groups)
    for described, group in zip(groups, optimizer.param_groups, strict=True):
        assert described["num_tensors"] == len(group["params"])
        for option in ("lr_scale", "weight_decay", "momentum", "betas", "eps", "nesterov"):
            assert described[option] == group[option]
        assert described.get("use_fallback") == group.get("use_fallback")
    assert {group["lr_scale"] for group in groups} == {0.5**layer for layer in range(6)}
    assert {group["weight_decay"] for group in groups} == {0.0, 0.2}


def built_of(config: FineTuneConfig, train: Callable, make_listener: Callable) -> dict[str, Any]:
    """Return the description; the listener stops the trial before it trains."""

    class Built(Exception):  # noqa: N818  # a signal, not an error
        pass

    listener = make_listener()

    def stop(built: dict[str, Any]) -> None:
        listener.built = built
        raise Built

    listener.on_built = stop
    with pytest.raises(Built):
        train(config, listener)
    return listener.built
