import json
import re
from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig, ScheduleConfig, from_dict
from revit.errors import InputError
from revit.identity import NON_IDENTITY_FIELDS, identity

BASE = FineTuneConfig(dataset="digits", steps=10)

WRONG = {
    "an unknown dataset": ({"dataset": "cifar11"}, "dataset = 'cifar11'", "digits"),
    "folder: without a path": ({"dataset": "folder:"}, "dataset = 'folder:'", "folder:PATH"),
    "a resolution the patch does not divide": ({"resolution": 30}, "resolution = 30", "multiple of 4"),
    "no resolution": ({"resolution": 0}, "resolution = 0", "above 0"),
    "a negative lr": ({"optimizer.lr": -0.1}, "optimizer.lr = -0.1", "above 0"),
    "a zero lr": ({"optimizer.lr": 0.0}, "optimizer.lr = 0.0", "above 0"),
    "an infinite lr": ({"optimizer.lr": float("inf")}, "lr = inf", "must be a finite number"),
    "no number as lr": ({"optimizer.lr": float("nan")}, "lr = nan: must be a finite number", ""),
    "more steps than can be counted": ({"steps": 2**63}, "steps = 9223372036854775808: must be smaller than 2**63", ""),
    "a field without its part": ({"lr": 0.1}, "'lr' is not a config field; did you mean optimizer.lr?", ""),
    "a field of several parts": ({"name": "x"}, "; did you mean model.name, optimizer.name, schedule.name?", ""),
    "a misspelt field without its part": ({"weight_dekay": 0.1}, "; did you mean optimizer.weight_decay?", ""),
    "a field like none": ({"xyz": 0.1}, "'xyz' is not a config field; fields are dataset, resolution,", ""),
    "a lr that is a text": ({"optimizer.lr": "0.1"}, "lr = '0.1'", "a number"),
    "zero steps": ({"steps": 0}, "steps = 0", "above 0"),
    "negative epochs": ({"steps": None, "epochs": -1.0}, "epochs = -1.0", "above 0"),
    "steps and epochs": ({"epochs": 1.0}, "steps, epochs = (10, 1.0)", "exactly one"),
    "neither steps nor epochs": ({"steps": None}, "steps, epochs = (None, None)", "exactly one"),
    "half a step": ({"steps": 1.5}, "steps = 1.5", "a whole number"),
    "an empty batch": ({"batch_size": 0}, "batch_size = 0", "above 0"),
    "an empty micro-batch": ({"micro_batch": 0}, "micro_batch = 0", "above 0"),
    "no data": ({"data_fraction": 0.0}, "data_fraction = 0.0", "above 0"),
    "more than all data": ({"data_fraction": 1.1}, "data_fraction = 1.1", "at most 1"),
    "only validation": ({"val_fraction": 1.0}, "val_fraction = 1.0", "below 1"),
    "a crop that grows": ({"crop_scale": (0.5, 1.2)}, "crop_scale = (0.5, 1.2)", "largest <= 1"),
    "a crop that is a number": ({"crop_scale": 0.5}, "crop_scale = 0.5", "(a number, a number)"),
    "an unknown optimizer": ({"optimizer.name": "lion"}, "name = 'lion'", "sgd, adam, adamw"),
    "an unknown schedule": ({"schedule.name": "step"}, "name = 'step'", "cosine"),
    "an unknown axis": (
        {"optimizer.learning_rate": 1.0},
        "'optimizer.learning_rate' is not a config field",
        "optimizer.lr",
    ),
    "a path into a number": ({"steps.lr": 1}, "'steps.lr' is not a config field", "steps"),
    "momentum of 1": ({"optimizer.momentum": 1.0}, "optimizer.momentum = 1.0", "below 1"),
    "plateau without validation": ({"schedule.name": "plateau", "val_fraction": 0.0}, "val_fraction = 0", "plateau"),
    "a seed below 0": ({"seed": -1}, "seed = -1", "at least 0"),
    "weights that there are none of": (
        {"model.name": "vit_cifar_scratch"},
        "model.pretrained",
        "has no pretrained weights",
    ),
    "a trained model taken apart": ({"model.attn_out_proj": False}, "model.pretrained = True", "attn_out_proj"),
    "weights that are not loaded": ({"model.pretrained": False, "model.weights": "w"}, "model.weights", "pretrained"),
    "True as a number": ({"steps": True}, "steps = True", "a whole number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_one_line_that_names_it_and_what_is_right(case: str) -> None:
    values, names, right = WRONG[case]
    with pytest.raises(InputError) as raised:
        BASE.with_values(values)
    message = str(raised.value)
    assert names in message
    assert right in message
    assert "\n" not in message


def test_with_values_changes_those_and_nothing_else() -> None:
    changed = BASE.with_values({"optimizer.lr": 0.5, "seed": 3})
    differing = {path for path, value in changed.flat().items() if BASE.flat()[path] != value}
    assert differing == {"optimizer.lr", "seed"}


@given(
    lr=st.floats(1e-6, 10),
    fraction=st.floats(0.01, 1),
    crop=st.tuples(st.floats(0.01, 0.5), st.floats(0.5, 1)),
    schedule=st.sampled_from(["cosine", "linear", "exponential", "plateau", "constant"]),
)
def test_a_config_survives_json(lr: float, fraction: float, crop: tuple[float, float], schedule: str) -> None:
    values = {"optimizer.lr": lr, "data_fraction": fraction, "crop_scale": crop, "schedule.name": schedule}
    config = BASE.with_values(values)
    assert from_dict(json.loads(json.dumps(asdict(config)))) == config


def test_every_field_is_documented() -> None:
    for owner in (FineTuneConfig, ModelConfig, OptimizerConfig, ScheduleConfig):
        described = re.findall(r"^ {8}(\w[\w, ]*):", owner.__doc__ or "", flags=re.MULTILINE)
        names = {name for names in described for name in names.split(", ")}
        parts = {"model", "optimizer", "schedule"} if owner is FineTuneConfig else set()
        assert names == {field.name for field in fields(owner)} - parts


@pytest.mark.parametrize(
    ("epochs", "num_train", "batch_size", "steps"),
    [(9.0, 7169, 128, 513), (9.0, 3584, 128, 252), (7.0, 50_000, 128, 2737), (0.5, 100, 10, 5), (1.0, 3, 10, 1)],
)
def test_epochs_compile_to_steps_as_with_a_dataloader(
    epochs: float, num_train: int, batch_size: int, steps: int
) -> None:
    config = FineTuneConfig(dataset="digits", epochs=epochs, batch_size=batch_size)
    assert config.num_steps(num_train, 10**6) == steps


def test_epochs_over_all_images_give_every_fraction_as_many_steps() -> None:
    config = FineTuneConfig(dataset="digits", epochs=7.0, epoch_images="all", batch_size=128)
    assert {config.num_steps(used, 50_000) for used in (50_000, 25_000, 5_000)} == {2737}


def name_of(config: FineTuneConfig, data: str = "d", weights: str | None = "w") -> str:
    return identity(config, num_steps=config.num_steps(500, 1000), data_digest=data, weights_digest=weights)


def test_identity_changes_with_whatever_determines_the_result() -> None:
    others = {
        "resolution": 8, "data_fraction": 0.5, "subset_seed": 1, "val_fraction": 0.2, "train_crop": "none",
        "crop_scale": (0.1, 1.0), "hflip": False, "model.name": "bit_nano", "model.pretrained": False,
        "model.pos_embed": "none", "model.head_init": "normal", "model.dropout": 0.1, "optimizer.name": "adam",
        "model.pos_embed_resize": "jax", "model.head_dropout": 0.1, "model.attn_dropout": 0.1,
        "optimizer.lr": 0.1, "optimizer.momentum": 0.5, "optimizer.weight_decay": 0.1, "optimizer.max_grad_norm": None,
        "schedule.name": "linear", "schedule.warmup_steps": 3, "schedule.end_factor": 0.5,
        "schedule.plateau_factor": 0.2, "schedule.plateau_patience": 3, "steps": 11, "batch_size": 64,
        "num_evals": 2, "selection": "best_val", "seed": 1, "test_curve": True, "resize_factor": 1.5,
        "crop_padding": 4, "mixup": 0.1, "normalization": "cifar10", "sampling": "with_replacement",
        "schedule.update": "epoch", "schedule.t_max": 1.75, "schedule.milestones": (0.5,),
    }  # fmt: skip
    changed = {path: name_of(BASE.with_values({path: value})) for path, value in others.items()}
    epochs = BASE.with_values({"steps": None, "epochs": 1.0})
    changed["epochs"] = name_of(epochs)
    changed["epoch_images"] = name_of(epochs.with_values({"epoch_images": "all"}))
    scratch = BASE.with_values({"model.pretrained": False})
    changed["model.attn_out_proj"] = name_of(scratch.with_values({"model.attn_out_proj": False}))
    changed["model.embed_std"] = name_of(scratch.with_values({"model.embed_std": 1.0}))
    changed["model.linear_init"] = name_of(scratch.with_values({"model.linear_init": "torch"}))
    changed["data"] = name_of(BASE, data="e")
    changed["weights"] = name_of(BASE, weights=None)
    assert name_of(BASE) not in changed.values()
    assert len(set(changed.values())) == len(changed)
    untested = set(BASE.flat()) - set(changed) - set(NON_IDENTITY_FIELDS) - {"model.weights"}
    assert not untested, "a new field must be in the identity, or be undeciding"


def test_identity_does_not_change_with_how_a_trial_is_executed_or_written() -> None:
    assert name_of(BASE.with_values({"micro_batch": 4})) == name_of(BASE)
    in_epochs = BASE.with_values({"steps": None, "epochs": 10 * BASE.batch_size / 500})
    assert in_epochs.num_steps(500, 1000) == BASE.steps
    assert name_of(in_epochs) == name_of(BASE), "the same number of steps, said otherwise"
    assert name_of(BASE.with_values({"optimizer.lr": 1})) == name_of(BASE.with_values({"optimizer.lr": 1.0}))
    assert name_of(BASE.with_values({"dataset": "folder:/elsewhere"})) == name_of(BASE), "content counts, not name"
    assert name_of(BASE.with_values({"model.weights": "/elsewhere"})) == name_of(BASE), "content counts, not name"


def test_identity_is_the_same_in_every_process_and_version() -> None:
    """A changed value here orphans every result that users have: bump TRAINING_VERSION on purpose instead."""
    assert name_of(BASE) == "ff3305d9769a65c2"
