import json
import re
from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from revit.config import FineTuneConfig, ModelConfig, OptimizerConfig, ScheduleConfig, from_dict
from revit.errors import InputError

BASE = FineTuneConfig(dataset="digits", steps=10)

INVALID = {
    "an unknown dataset": ({"dataset": "cifar11"}, "dataset = 'cifar11'", "digits"),
    "folder: without a path": ({"dataset": "folder:"}, "dataset = 'folder:'", "folder:PATH"),
    "a resolution the patch does not divide": ({"resolution": 30}, "resolution = 30", "multiple of 4"),
    "no resolution": ({"resolution": 0}, "resolution = 0", "above 0"),
    "a negative lr": ({"optimizer.lr": -0.1}, "optimizer.lr = -0.1", "above 0"),
    "a zero lr": ({"optimizer.lr": 0.0}, "optimizer.lr = 0.0", "above 0"),
    "an infinite lr": ({"optimizer.lr": float("inf")}, "lr = inf", "must be a finite number"),
    "a lr that is not a number": ({"optimizer.lr": float("nan")}, "lr = nan: must be a finite number", ""),
    "more steps than can be counted": ({"steps": 2**63}, "steps = 9223372036854775808: must be smaller than 2**63", ""),
    "a field without its prefix": ({"lr": 0.1}, "'lr' is not a config field; did you mean optimizer.lr?", ""),
    "a field with several prefixes": ({"name": "x"}, "; did you mean model.name, optimizer.name, schedule.name?", ""),
    "a misspelled field without its prefix": ({"weight_dekay": 0.1}, "; did you mean optimizer.weight_decay?", ""),
    "an unknown field": ({"xyz": 0.1}, "'xyz' is not a config field; fields are dataset, resolution,", ""),
    "a lr that is text": ({"optimizer.lr": "0.1"}, "lr = '0.1'", "a number"),
    "zero steps": ({"steps": 0}, "steps = 0", "above 0"),
    "negative epochs": ({"steps": None, "epochs": -1.0}, "epochs = -1.0", "above 0"),
    "steps and epochs": ({"epochs": 1.0}, "steps, epochs = (10, 1.0)", "exactly one"),
    "neither steps nor epochs": ({"steps": None}, "steps, epochs = (None, None)", "exactly one"),
    "a fraction of a step": ({"steps": 1.5}, "steps = 1.5", "a whole number"),
    "an empty batch": ({"batch_size": 0}, "batch_size = 0", "above 0"),
    "an empty micro-batch": ({"micro_batch": 0}, "micro_batch = 0", "above 0"),
    "a fraction of zero": ({"data_fraction": 0.0}, "data_fraction = 0.0", "above 0"),
    "a fraction above 1": ({"data_fraction": 1.1}, "data_fraction = 1.1", "at most 1"),
    "validation only": ({"val_fraction": 1.0}, "val_fraction = 1.0", "below 1"),
    "a crop above the image": ({"crop_scale": (0.5, 1.2)}, "crop_scale = (0.5, 1.2)", "largest <= 1"),
    "a crop that is a number": ({"crop_scale": 0.5}, "crop_scale = 0.5", "(a number, a number)"),
    "an unknown loss": ({"loss": "hinge"}, "loss = 'hinge'", "one of cross_entropy"),
    "an unknown schedule": ({"schedule.name": "step"}, "name = 'step'", "cosine"),
    "an unknown axis": (
        {"optimizer.learning_rate": 1.0},
        "'optimizer.learning_rate' is not a config field",
        "optimizer.lr",
    ),
    "a path into a number": ({"steps.lr": 1}, "'steps.lr' is not a config field", "steps"),
    "one beta": ({"optimizer.betas": (0.9,)}, "optimizer.betas = (0.9,)", "two or three numbers"),
    "beta of 1": ({"optimizer.betas": (0.9, 1.0)}, "optimizer.betas = (0.9, 1.0)", "at least 0 and below 1"),
    "eps of 0": ({"optimizer.eps": 0.0}, "optimizer.eps = 0.0", "above 0, or None"),
    "layer decay of 0": ({"optimizer.layer_decay": 0.0}, "optimizer.layer_decay = 0.0", "above 0 and at most 1"),
    "momentum of 1": ({"optimizer.momentum": 1.0}, "optimizer.momentum = 1.0", "below 1"),
    "test curve without test": ({"test": False, "test_curve": True}, "test = False", "True: test_curve evaluates"),
    "nothing evaluated": ({"test": False, "val_fraction": 0.0}, "val_fraction = 0", "without test"),
    "plateau without validation": ({"schedule.name": "plateau", "val_fraction": 0.0}, "val_fraction = 0", "plateau"),
    "a seed below 0": ({"seed": -1}, "seed = -1", "at least 0"),
    "pretrained without weights": (
        {"model.name": "vit_cifar_scratch"},
        "model.pretrained",
        "has no pretrained weights",
    ),
    "another architecture, pretrained": (
        {"model.attn_out_proj": False},
        "model.pretrained = True",
        "attn_out_proj",
    ),
    "weights without pretrained": ({"model.pretrained": False, "model.weights": "w"}, "model.weights", "pretrained"),
    "True as a number": ({"steps": True}, "steps = True", "a whole number"),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_value_gives_one_line_with_its_name_and_what_is_valid(case: str) -> None:
    values, names, right = INVALID[case]
    with pytest.raises(InputError) as raised:
        BASE.with_values(values)
    message = str(raised.value)
    assert names in message
    assert right in message
    assert "\n" not in message


def test_with_values_changes_only_those_values() -> None:
    changed = BASE.with_values({"optimizer.lr": 0.5, "seed": 3})
    differing = {path for path, value in changed.flat().items() if BASE.flat()[path] != value}
    assert differing == {"optimizer.lr", "seed"}


def test_with_seed_is_with_values_of_a_seed() -> None:
    changed = BASE.with_seed(3)
    assert changed == BASE.with_values({"seed": 3})
    assert hash(changed) == hash(BASE.with_values({"seed": 3}))
    assert BASE.seed == 0
    with pytest.raises(InputError, match="seed = -1: must be at least 0"):
        BASE.with_seed(-1)


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
def test_an_epoch_has_as_many_steps_as_with_a_dataloader(
    epochs: float, num_train: int, batch_size: int, steps: int
) -> None:
    config = FineTuneConfig(dataset="digits", epochs=epochs, batch_size=batch_size)
    assert config.num_steps(num_train, 10**6) == steps


def test_epochs_over_all_images_give_every_fraction_the_same_steps() -> None:
    config = FineTuneConfig(dataset="digits", epochs=7.0, epoch_images="all", batch_size=128)
    assert {config.num_steps(used, 50_000) for used in (50_000, 25_000, 5_000)} == {2737}
