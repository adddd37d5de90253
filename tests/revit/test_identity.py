"""Identity of a trial."""

import pytest

from revit.config import FineTuneConfig
from revit.identity import NON_IDENTITY_FIELDS, identity

BASE = FineTuneConfig(dataset="digits", steps=10)


def identity_of(config: FineTuneConfig, data: str = "d", weights: str | None = "w") -> str:
    return identity(config, num_steps=config.num_steps(500, 1000), data_digest=data, weights_digest=weights)


def test_identity_changes_with_everything_that_determines_the_result() -> None:
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
    changed = {path: identity_of(BASE.with_values({path: value})) for path, value in others.items()}
    epochs = BASE.with_values({"steps": None, "epochs": 1.0})
    changed["epochs"] = identity_of(epochs)
    changed["epoch_images"] = identity_of(epochs.with_values({"epoch_images": "all"}))
    scratch = BASE.with_values({"model.pretrained": False})
    changed["model.attn_out_proj"] = identity_of(scratch.with_values({"model.attn_out_proj": False}))
    changed["model.embed_std"] = identity_of(scratch.with_values({"model.embed_std": 1.0}))
    changed["model.linear_init"] = identity_of(scratch.with_values({"model.linear_init": "torch"}))
    changed["data"] = identity_of(BASE, data="e")
    changed["weights"] = identity_of(BASE, weights=None)
    assert identity_of(BASE) not in changed.values()
    assert len(set(changed.values())) == len(changed)
    untested = set(BASE.flat()) - set(changed) - set(NON_IDENTITY_FIELDS) - {"model.weights"}
    assert not untested, "a new field is in the identity, or in NON_IDENTITY_FIELDS"


def test_identity_does_not_change_with_execution_or_notation() -> None:
    assert identity_of(BASE.with_values({"micro_batch": 4})) == identity_of(BASE)
    in_epochs = BASE.with_values({"steps": None, "epochs": 10 * BASE.batch_size / 500})
    assert in_epochs.num_steps(500, 1000) == BASE.steps
    assert identity_of(in_epochs) == identity_of(BASE), "the same number of steps, in epochs"
    assert identity_of(BASE.with_values({"optimizer.lr": 1})) == identity_of(BASE.with_values({"optimizer.lr": 1.0}))
    assert identity_of(BASE.with_values({"dataset": "folder:/elsewhere"})) == identity_of(BASE), "content counts"
    assert identity_of(BASE.with_values({"model.weights": "/elsewhere"})) == identity_of(BASE), "content counts"


GOLDEN: dict[str, tuple[dict[str, object], str]] = {
    "default": ({}, "ff3305d9769a65c2"),
    "adam": ({"optimizer.name": "adam", "optimizer.lr": 1e-3}, "5995651e29801b02"),
    "multistep": ({"schedule.name": "multistep", "schedule.milestones": (0.5,)}, "cb21fa80318b9773"),
    "t_max": ({"schedule.t_max": 1.75}, "13da42eaf9fa9de4"),
    "augmentation": ({"train_crop": "padded", "mixup": 0.1, "hflip": False}, "f6246abf049ff11a"),
    "with replacement": ({"sampling": "with_replacement", "normalization": "cifar10"}, "1716ac17df471dcd"),
    "from scratch": ({"model.pretrained": False, "model.embed_std": 0.5}, "524e4ba65e47d6e2"),
    "timm": ({"model.name": "resnet18", "resolution": 224, "normalization": "imagenet"}, "e396d3815e320f53"),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_identities(case: str) -> None:
    """A changed value orphans every result that users have: raise TRAINING_VERSION on purpose instead."""
    values, expected = GOLDEN[case]
    assert identity_of(BASE.with_values(values)) == expected
