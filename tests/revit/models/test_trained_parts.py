"""Trained parts against counts in closed form, against timm's own freezing, and by what training changes."""

import re
from collections import defaultdict
from collections.abc import Callable
from itertools import product
from typing import Any, get_args

import pytest
import timm
import torch
from timm.utils import freeze
from torch import nn

from revit.config import FineTuneConfig, ModelConfig
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.models.adapters import ADAPTERS
from revit.models.build import build_model, check_model, empty_model
from revit.models.trained_parts import PARTS, count_by_pattern, train_only, trained_names
from revit.models.weights import find_weights
from revit.training.fine_tune import TrialData, fine_tune
from revit.training.optimizers import build_optimizer
from revit.validation import field_types
from tests.identities import identity_of

WIDTH, HIDDEN, DEPTH = 64, 128, 4
HEAD = 10 * WIDTH + 10
ATTENTION = 4 * WIDTH * WIDTH + 4 * WIDTH
MLP = 2 * WIDTH * HIDDEN + HIDDEN + WIDTH
NORMS = 4 * WIDTH
EMBEDDING = WIDTH * (3 * 4 * 4 + 1) + WIDTH + 50 * WIDTH
SIZES = {
    ("all", "none"): EMBEDDING + DEPTH * (ATTENTION + MLP + NORMS) + 2 * WIDTH,
    ("all", "embedding"): DEPTH * (ATTENTION + MLP + NORMS) + 2 * WIDTH,
    ("all", "first_3"): ATTENTION + MLP + NORMS + 2 * WIDTH,
    ("all", "first_4"): 2 * WIDTH,
    ("head", "none"): 0,
    ("attention", "none"): DEPTH * ATTENTION,
    ("attention", "first_1"): (DEPTH - 1) * ATTENTION,
    ("mlp", "none"): DEPTH * MLP,
    ("mlp", "first_2"): 2 * MLP,
    ("norms", "none"): DEPTH * NORMS + 2 * WIDTH,
    ("biases", "none"): WIDTH + DEPTH * (4 * WIDTH + HIDDEN + WIDTH + 2 * WIDTH) + WIDTH,
    ("biases", "embedding"): DEPTH * (4 * WIDTH + HIDDEN + WIDTH + 2 * WIDTH) + WIDTH,
}
"""Parameters of `vit_nano` at 28 px that are trained beside the head, by trained and frozen part."""


def config_of(name: str = "vit_nano", resolution: int = 28, **values: object) -> FineTuneConfig:
    changed = {f"model.{field}": value for field, value in values.items()} | {"model.name": name}
    return FineTuneConfig(dataset="digits", steps=1, resolution=resolution).with_values(changed)


def built(config: FineTuneConfig) -> Any:
    return build_model(config, 10, find_weights(config.model) if config.model.pretrained else None)


def num_trained(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def trained_of(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_the_choices_of_the_config_are_the_parts() -> None:
    assert get_args(field_types(ModelConfig)["trained"]) == tuple(PARTS)


@pytest.mark.parametrize("case", SIZES, ids="-".join)
def test_a_part_has_the_parameters_of_its_closed_form(case: tuple[str, str]) -> None:
    model = built(config_of(trained=case[0], frozen=case[1]))
    assert num_trained(model) == SIZES[case] + HEAD


def test_attention_is_a_third_of_a_vit_and_mlp_two_thirds() -> None:
    """Touvron et al. 2022: "the attention weights correspond to approximately one third of the weights"."""
    sizes = {}
    with torch.device("meta"):
        for trained in ("attention", "mlp"):
            model = timm.create_model("deit3_base_patch16_224", num_classes=1000)
            train_only(model, trained_names(model, ModelConfig(name="deit3", trained=trained)))
            sizes[trained] = num_trained(model) - 769_000
    assert sizes["attention"] / 86.6e6 == pytest.approx(1 / 3, abs=0.01)
    assert sizes["mlp"] / sizes["attention"] == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize(
    ("name", "trained", "expected"),
    [
        ("bit_nano", "norms", {"stages.*.blocks.*.norm*.weight", "stages.*.blocks.*.norm*.bias", "norm.weight",
                               "norm.bias", "head.fc.weight", "head.fc.bias"}),
        ("bit_nano", "head", {"head.fc.weight", "head.fc.bias"}),
        ("bit_nano", "biases", {"stages.*.blocks.*.norm*.bias", "norm.bias", "head.fc.weight", "head.fc.bias"}),
        ("vit_base_patch16_siglip_224", "mlp", {f"blocks.*.mlp.fc*.{kind}" for kind in ("weight", "bias")}
         | {"head.weight", "head.bias"}),
        ("eva02_tiny_patch14_224", "attention", {f"blocks.*.attn.{name}" for name in (
            "q_bias", "v_bias", "qkv.weight", "proj.weight", "proj.bias")} | {"head.weight", "head.bias"}),
        ("nf_resnet26", "norms", None),
        ("convnext_atto", "attention", None),
    ],
)  # fmt: skip
def test_parts_of_other_models(name: str, trained: str, expected: set[str] | None) -> None:
    """An attention pooling has an MLP that is not one of a block; blocks of NF-ResNets are not norms."""
    config = config_of(name, 224, trained=trained, pretrained=False)
    if expected is None:
        with pytest.raises(InputError, match=f"model.trained = '{trained}': must be a part that {name} has"):
            check_model(config, None)
    else:
        model = built(config)
        assert {re.sub(r"\d+", "*", name) for name in trained_of(model)} == expected


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("vit_base_patch16_clip_224", {"cls_token", "pos_embed", "patch_embed.proj.weight", "norm_pre.weight",
                                       "norm_pre.bias"}),
        ("vit_small_patch14_reg4_dinov2", {"cls_token", "pos_embed", "reg_token", "patch_embed.proj.weight",
                                           "patch_embed.proj.bias"}),
        ("bit_nano", {"stem.conv.weight"}),
        ("convnext_atto", {"stem.0.weight", "stem.0.bias", "stem.1.weight", "stem.1.bias"}),
        ("resnet18", {"conv1.weight", "bn1.weight", "bn1.bias"}),
    ],
)  # fmt: skip
def test_the_embedding_is_what_comes_before_the_blocks(name: str, stem: set[str]) -> None:
    resolution = 28 if name == "bit_nano" else 224
    whole = built(config_of(name, resolution, pretrained=False))
    model = built(config_of(name, resolution, pretrained=False, frozen="embedding"))
    assert trained_of(whole) - trained_of(model) == stem


def test_two_configs_have_one_identity_exactly_if_they_train_the_same_tensors() -> None:
    """Over all combinations of parts and adapters that `vit_nano` has."""
    groups: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
    for trained, frozen, adapter in product(PARTS, ("none", "embedding", "first_1", "first_3"), ("none", *ADAPTERS)):
        try:
            config = config_of(trained=trained, frozen=frozen, adapter=adapter)
            tensors = tuple(sorted(trained_of(empty_model(config, 10))))
        except InputError:
            continue  # nothing is frozen, or there is no linear layer
        groups[identity_of(config)].add(tensors)
    assert len(groups) > 30
    assert {len(each) for each in groups.values()} == {1}
    assert len({tensors for each in groups.values() for tensors in each}) == len(groups)


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "deeper than the model": ({"frozen": "first_5"}, "'first_5': must be at most first_4, the depth of vit_nano"),
    "nothing is left": ({"frozen": "first_4", "trained": "mlp"}, "'first_4': must be less: nothing of the mlp of"),
    "nothing is in it": ({"frozen": "embedding", "trained": "norms"}, "must be none: nothing of the norms of vit_nano"),
    "no blocks": ({"frozen": "first_1", "name": "bit_nano"}, "must be none or embedding: bit_nano has no blocks"),
    "no attention": ({"trained": "attention", "name": "bit_nano"}, "must be a part that bit_nano has"),
    "no stem": ({"frozen": "embedding", "name": "cait_xxs24_224", "resolution": 224}, "timm states no stem of cait"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_part_that_a_model_does_not_have_is_refused_in_one_line(case: str) -> None:
    values, message = WRONG[case]
    with pytest.raises(InputError, match=message) as raised:
        check_model(config_of(**{"pretrained": False, **values}), None)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("trained", ["head", "attention", "norms", "biases"])
def test_only_the_trained_part_changes(digits: ImageStore, trained: str) -> None:
    config = config_of(trained=trained, head_init="normal").with_values(
        {"steps": 2, "batch_size": 8, "num_evals": 1, "test": False}
    )
    before = {name: tensor.clone() for name, tensor in built(config).state_dict().items()}
    data = TrialData.from_store(config, digits, find_weights(config.model))
    model = fine_tune(config, data, lambda rows, state: None, device=torch.device("cpu")).model
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == trained_of(built(config))


def test_frozen_parts_have_no_gradients_and_the_optimizer_no_state_for_them() -> None:
    sizes = {}
    for trained in ("all", "attention", "head"):
        config = config_of(trained=trained, head_init="normal").with_values({"optimizer.name": "adam"})
        model = built(config)
        optimizer = build_optimizer(model, config.optimizer)
        model(torch.randn(2, 3, 28, 28)).logsumexp(dim=1).sum().backward()
        optimizer.step()
        assert {name for name, each in model.named_parameters() if each.grad is not None} == trained_of(model)
        moments = [value for state in optimizer.state.values() for value in state.values() if value.ndim]
        sizes[trained] = sum(value.numel() for value in moments)
        assert sizes[trained] == 2 * num_trained(model)
    assert sizes["head"] < sizes["attention"] / 50 < sizes["all"] / 100


def test_nothing_below_the_trained_part_is_in_the_graph() -> None:
    """Autograd keeps nothing of a frozen backbone: the head's input needs no gradient."""
    model = built(config_of(trained="head"))
    features = model.forward_features(torch.randn(2, 3, 28, 28))
    assert not features.requires_grad
    assert model.forward_head(features).requires_grad


@pytest.mark.parametrize("values", [{"trained": "head"}, {"frozen": "embedding"}], ids=["head", "embedding"])
def test_frozen_batch_norms_keep_their_statistics_as_in_timms_freeze(values: dict[str, object]) -> None:
    """The oracle is timm's own `freeze`, on the same weights, in training mode."""
    ours = built(config_of("resnet18", 64, pretrained=False, head_init="torch", **values)).train()
    theirs = built(config_of("resnet18", 64, pretrained=False, head_init="torch")).train()
    frozen = ["conv1", "bn1"] + ([f"layer{number}" for number in range(1, 5)] if "trained" in values else [])
    freeze(theirs, frozen)
    images = torch.randn(4, 3, 64, 64)
    assert torch.equal(ours(images), theirs(images))
    assert isinstance(ours.bn1, type(theirs.bn1))
    assert not isinstance(ours.bn1, nn.BatchNorm2d)
    assert isinstance(ours.layer1[0].bn1, nn.BatchNorm2d) is ("frozen" in values)
    assert trained_of(ours) == trained_of(theirs)


def test_a_model_whose_batch_norms_are_all_frozen_takes_micro_batches() -> None:
    check_model(config_of("resnet18", 64, pretrained=False, trained="head").with_values({"micro_batch": 4}), None)


def test_dropout_of_frozen_parts_stays_active() -> None:
    model = built(config_of(trained="head", dropout=0.5, head_init="normal")).train()
    images = torch.randn(2, 3, 28, 28)
    assert not torch.equal(model(images), model(images))


@pytest.mark.parametrize("values", [{"trained": "attention"}, {"frozen": "first_2", "dropout": 0.1}])
def test_a_resumed_trial_gives_the_same_bits(
    small: FineTuneConfig, train: Callable, tmp_path: Any, make_listener: Callable, values: dict[str, object]
) -> None:
    config = small.with_values({"test": False, **{f"model.{field}": value for field, value in values.items()}})
    path = tmp_path / "checkpoint.pt"
    whole, _ = train(config, make_listener(save_at=8, path=path))
    rest, _ = train(config, resume=path)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, rest.model.state_dict()[name]), name


def test_names_are_counted_without_their_numbers() -> None:
    assert count_by_pattern(["blocks.0.fc1", "blocks.11.fc1", "head"]) == {"blocks.*.fc1": 2, "head": 1}


def test_a_removed_position_embedding_stays_frozen() -> None:
    assert "pos_embed" not in trained_of(built(config_of(pos_embed="none", trained="biases")))
    assert "pos_embed" not in trained_of(built(config_of(pos_embed="none", frozen="first_1")))
