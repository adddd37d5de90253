"""Identity of a trial."""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import pytest

from revit.config import FineTuneConfig, ModelConfig
from revit.errors import InputError
from revit.fields import always, neutral
from tests.identities import identity_of

BASE = FineTuneConfig(dataset="digits", steps=10)
GOLDEN = json.loads((Path(__file__).parent / "golden_identities.json").read_text())
"""Name -> values over BASE, identity. `python -m tests.revit.golden_identities` adds configs; it changes none."""

ALONE = {
    "resolution": 8, "train_crop": "none", "crop_scale": (0.1, 1.0), "hflip": False, "mixup": 0.1, "cutmix": 0.1,
    "augmentation": "trivialaugment", "random_erasing": 0.5, "loss": "binary_cross_entropy", "label_smoothing": 0.1,
    "ema_decay": 0.9, "normalization": "cifar10", "sampling": "with_replacement", "steps": 11, "batch_size": 64,
    "num_evals": 2, "eval_every": 3, "test_curve": True, "test": False, "selection": "best_val", "seed": 1,
    "model.name": "bit_nano", "model.pos_embed": "none", "model.head_init": "normal", "model.dropout": 0.1,
    "model.attn_dropout": 0.1, "model.head_dropout": 0.1, "model.drop_path": 0.1, "model.trained": "attention",
    "model.frozen": "first_2", "model.adapter": "lora",
    "optimizer.name": "adam", "optimizer.lr": 0.1, "optimizer.momentum": 0.5, "optimizer.weight_decay": 0.1,
    "optimizer.layer_decay": 0.75, "optimizer.max_grad_norm": None,
    "schedule.name": "linear", "schedule.update": "epoch", "schedule.warmup": 3, "schedule.t_max": 1.75,
}  # fmt: skip
TOGETHER: list[dict[str, object]] = [
    {"train_crop": "resized", "resize_factor": 1.5}, {"train_crop": "padded", "crop_padding": 4},
    {"augmentation": "randaugment", "randaugment_num_ops": 3},
    {"augmentation": "randaugment", "randaugment_magnitude": 20},
    {"model.adapter": "lora", "model.adapter_rank": 4}, {"model.adapter": "lora", "model.adapter_alpha": 4.0},
    {"resolution": 8, "model.pos_embed_resize": "jax"},
    {"model.pretrained": False, "model.attn_out_proj": False}, {"model.pretrained": False, "model.embed_std": 1.0},
    {"model.pretrained": False, "model.linear_init": "torch"},
    {"optimizer.name": "adam", "optimizer.betas": (0.8, 0.9)}, {"optimizer.name": "adam", "optimizer.eps": 1e-4},
    {"schedule.name": "multistep", "schedule.milestones": (0.5,)},
    {"schedule.name": "exponential", "schedule.end_factor": 0.5},
    {"schedule.name": "plateau", "schedule.plateau_factor": 0.2},
    {"schedule.name": "plateau", "schedule.plateau_patience": 2},
]  # fmt: skip
"""The last field of each has an effect only with the others."""
DIGESTED = {
    "dataset", "data_fraction", "subset_seed", "val_fraction", "test_sets", "model.pretrained", "model.weights",
}  # fmt: skip
"""Fields that enter the identity by a digest of what they name."""
BUDGETS = {"epochs", "epoch_images"}


def test_identity_changes_with_everything_that_determines_the_result() -> None:
    changed = [identity_of(BASE.with_values({path: value})) for path, value in ALONE.items()]
    changed += [identity_of(BASE, **{name: "other"}) for name in ("data", "splits", "weights")]
    changed += [identity_of(BASE, test_sets=each) for each in ({"a": "d"}, {"a": "e"}, {"b": "d"})]
    assert len({identity_of(BASE), *changed}) == 1 + len(changed)


@pytest.mark.parametrize("values", TOGETHER, ids=str)
def test_identity_changes_with_a_field_that_is_active(values: dict[str, object]) -> None:
    *first, last = values
    others = {path: values[path] for path in first}
    assert identity_of(BASE.with_values(values)) != identity_of(BASE.with_values(others))
    if "model.pretrained" not in values:  # the others of an untrained model are invalid with pretrained weights
        assert identity_of(BASE.with_values({last: values[last]})) == identity_of(BASE), "inactive without the others"


def test_every_field_is_tested() -> None:
    together = {path for values in TOGETHER for path in values}
    assert set(BASE.flat()) == {*ALONE, *together, *DIGESTED, *BUDGETS, "micro_batch"}


def test_identity_does_not_change_with_execution_or_notation() -> None:
    base = identity_of(BASE)
    assert identity_of(BASE.with_values({"micro_batch": 4})) == base
    in_epochs = BASE.with_values({"steps": None, "epochs": 10 * BASE.batch_size / 500})
    assert in_epochs.num_steps(500, 1000) == BASE.steps
    assert identity_of(in_epochs) == base, "the same number of steps, in epochs"
    assert identity_of(BASE.with_values({"optimizer.lr": 1})) == identity_of(BASE.with_values({"optimizer.lr": 1.0}))
    for path, value in (
        ("test_sets", ("mnist_5k",)), ("dataset", "folder:/elsewhere"), ("model.weights", "/elsewhere"),
        ("data_fraction", 0.5), ("subset_seed", 3),
    ):  # fmt: skip
        assert identity_of(BASE.with_values({path: value})) == base, "content counts"
    for one, other in (("40 percent", 4), ("1 epoch", 4), ("512 images", 4), ("4 steps", 4)):
        same = {identity_of(BASE.with_values({"schedule.warmup": each})) for each in (one, other)}
        assert len(same) == 1, "a warmup of as many steps"
        assert identity_of(BASE.with_values({"eval_every": one})) == identity_of(
            BASE.with_values({"eval_every": other})
        )
    assert identity_of(BASE.with_values({"eval_every": 2})) == identity_of(BASE.with_values({"num_evals": 5}))


def test_a_model_has_one_identity_by_each_of_its_names() -> None:
    names = ("vit_b16_in21k", "vit_base_patch16_224.orig_in21k")
    configs = [
        BASE.with_values({"model.name": name, "resolution": 384, "normalization": "inception"}) for name in names
    ]
    assert len({identity_of(config) for config in configs}) == 1


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_identities(name: str) -> None:
    """A changed value orphans every result that users have: raise TRAINING_VERSION on purpose instead."""
    assert identity_of(BASE.with_values(GOLDEN[name]["values"])) == GOLDEN[name]["identity"]


def test_golden_identities_are_of_thirty_distinct_trials() -> None:
    assert len({each["identity"] for each in GOLDEN.values()}) == len(GOLDEN) >= 30


@dataclass(frozen=True, kw_only=True)
class LargerModelConfig(ModelConfig):
    """As in a later version.

    Attributes:
        registers: number of register tokens.
    """

    registers: int = neutral(0)


@dataclass(frozen=True, kw_only=True)
class LargerConfig(FineTuneConfig):
    """As in a later version, with other defaults.

    Attributes:
        sharpness: of the minimum.
        model: as there.
        hflip: as there.
    """

    sharpness: float = neutral(0.0)
    model: LargerModelConfig = field(default_factory=LargerModelConfig)
    hflip: bool = neutral(False, default=False)


def larger(config: FineTuneConfig) -> LargerConfig:
    own = {each.name: getattr(config, each.name) for each in fields(config)}
    model = {each.name: getattr(config.model, each.name) for each in fields(config.model)}
    return LargerConfig(**{**own, "model": LargerModelConfig(**model)})


@pytest.mark.parametrize("name", GOLDEN)
def test_new_fields_rename_no_trial(name: str) -> None:
    config = larger(BASE.with_values(GOLDEN[name]["values"]))
    assert identity_of(config) == GOLDEN[name]["identity"]
    changed = [config.with_values({path: value}) for path, value in (("sharpness", 0.5), ("model.registers", 4))]
    assert len({GOLDEN[name]["identity"], *map(identity_of, changed)}) == 3


def test_a_field_must_declare_its_neutral_value() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Undeclared(FineTuneConfig):
        """As above.

        Attributes:
            sharpness: of the minimum.
        """

        sharpness: float = 0.0

    with pytest.raises(InputError, match=r"^Undeclared.sharpness declares no neutral value"):
        identity_of(Undeclared(dataset="digits", steps=1))


def test_a_default_may_change_but_not_a_neutral_value() -> None:
    """`always` and a neutral value of its own give a field a default that identities do not see."""
    assert always(3).default == 3 and neutral(0, default=3).metadata["neutral"] == 0


def test_the_source_of_a_users_function_is_part_of_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "my_losses.py"
    config = BASE.with_values({"loss": "my_losses:focal"})
    module.write_text("def focal(): return 1")
    first = identity_of(config)
    assert identity_of(config) == first != identity_of(BASE)
    module.write_text("def focal(): return 2")
    assert identity_of(config) != first
    module.unlink()
    with pytest.raises(InputError, match="my_losses:focal cannot be imported"):
        identity_of(config)
