"""Adapters against peft's own model, an unmerged pass, and the plain network."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftConfig, get_peft_model
from torch import nn

from revit.config import FineTuneConfig, ModelConfig
from revit.datasets.batches import eval_batches
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.models.adapters import ADAPTERS, adapted_layers, describe_adapters, merge_adapters
from revit.models.build import build_model, build_tested_model, check_model, empty_model
from revit.models.introspection import attention_maps
from revit.models.normalization import NORMALIZATIONS
from revit.models.weights import find_weights
from revit.training.evaluation import evaluate
from revit.training.optimizers import build_optimizer
from revit.validation import field_types

CPU = torch.device("cpu")
IA3_LAYERS = {"qkv", "fc2"}


def config_of(name: str = "vit_nano", resolution: int = 28, **values: object) -> FineTuneConfig:
    changed = {f"model.{field}": value for field, value in values.items()}
    return FineTuneConfig(dataset="digits", steps=1, resolution=resolution).with_values(
        {"model.name": name, "model.head_init": "normal", **changed}
    )


def built(config: FineTuneConfig) -> Any:
    return build_model(config, 10, find_weights(config.model) if config.model.pretrained else None)


def images_of(resolution: int = 28) -> torch.Tensor:
    return torch.randn(4, 3, resolution, resolution, generator=torch.Generator().manual_seed(0))


def train_steps(model: Any, config: FineTuneConfig, num: int = 5) -> None:
    """Move every trained tensor away from its initial value."""
    optimizer = build_optimizer(model, config.with_values({"optimizer.name": "adam", "optimizer.lr": 1e-2}).optimizer)
    for _ in range(num):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images_of()), torch.arange(4)).backward()
        optimizer.step()


def test_the_choices_of_the_config_are_the_adapters() -> None:
    assert get_args(field_types(ModelConfig)["adapter"]) == ("none", *ADAPTERS)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("trained", ["all", "attention", "mlp"])
def test_an_adapter_at_initialization_leaves_the_function_unchanged(adapter: str, trained: str) -> None:
    plain, adapted = built(config_of()).eval(), built(config_of(adapter=adapter, trained=trained)).eval()
    images = images_of()
    assert torch.equal(adapted(images), plain(images))


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    ("trained", "layers"), [("all", "qkv proj fc1 fc2"), ("attention", "qkv proj"), ("mlp", "fc1 fc2")]
)
def test_the_linear_layers_of_the_trained_part_are_adapted(adapter: str, trained: str, layers: str) -> None:
    """IA3 scales keys and values (here with the queries) and the input of the second layer of an MLP."""
    model = built(config_of(adapter=adapter, trained=trained, frozen="first_1"))
    expected = {each for each in layers.split() if adapter != "ia3" or each in IA3_LAYERS}
    found = {name.rpartition(".")[2] for name, _ in adapted_layers(model)}
    assert found == expected
    assert {name.split(".")[1] for name, _ in adapted_layers(model)} == {"1", "2", "3"}
    for name, layer in adapted_layers(model):
        assert getattr(layer, "is_feedforward", None) is (name.endswith("fc2") if adapter == "ia3" else None)


PEFT_CONFIGS: dict[str, PeftConfig] = {
    "lora": LoraConfig(r=3, lora_alpha=6, target_modules=["qkv", "attn.proj", "fc1", "fc2"]),
    "dora": LoraConfig(r=3, lora_alpha=6, target_modules=["qkv", "attn.proj", "fc1", "fc2"], use_dora=True),
    "ia3": IA3Config(target_modules=["qkv", "fc2"], feedforward_modules=["fc2"]),
}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_logits_and_gradients_equal_those_of_pefts_own_model(adapter: str) -> None:
    """The same adapter by `get_peft_model`, with the same tensors; and its `merge_and_unload`."""
    config = config_of(adapter=adapter, adapter_rank=3, adapter_alpha=6.0)
    ours = built(config)
    train_steps(ours, config)
    theirs: Any = get_peft_model(build_tested_model(config, 10), PEFT_CONFIGS[adapter])
    theirs.base_model.model.load_state_dict(ours.state_dict())
    images = images_of()
    assert torch.equal(ours(images), theirs(images))
    for model in (ours, theirs):
        model.zero_grad()
        model(images).logsumexp(dim=1).sum().backward()
    wanted = dict(theirs.base_model.model.named_parameters())
    for name, parameter in ours.named_parameters():
        if parameter.requires_grad and not name.startswith("head."):
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, wanted[name].grad), name
    merge_adapters(ours)
    assert torch.equal(ours(images), theirs.merge_and_unload()(images))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_merged_logits_equal_unmerged_ones_and_the_model_is_plain(adapter: str) -> None:
    config = config_of(adapter=adapter)
    model, images = built(config), images_of()
    before = built(config_of()).eval()(images)
    train_steps(model, config)
    unmerged = model.eval()(images)
    assert (unmerged - before).abs().max() > 0.1, "the test needs an adapter that does something"
    merge_adapters(model)
    plain = build_tested_model(config, 10)
    assert [(name, type(each)) for name, each in model.named_modules()] == [
        (name, type(each)) for name, each in plain.named_modules()
    ]
    assert vars(model).keys() == vars(plain).keys()
    torch.testing.assert_close(model(images), unmerged, atol=1e-5, rtol=1e-5)
    plain.load_state_dict(model.state_dict())
    assert torch.equal(plain.eval()(images), model(images))
    assert attention_maps(model, images).shape == (4, 4, 4, 50, 50)


def test_a_plain_model_has_nothing_to_merge() -> None:
    model = built(config_of())
    before = deepcopy(model.state_dict())
    merge_adapters(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert describe_adapters(model) is None


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_only_adapters_and_head_are_trained_and_have_optimizer_state(adapter: str) -> None:
    """Closed form: rank (inputs + outputs) of each layer; DoRA one magnitude per output; IA3 one factor."""
    config = config_of(adapter=adapter, adapter_rank=2).with_values({"optimizer.name": "adam"})
    model = built(config)
    shapes = {"qkv": (64, 192), "proj": (64, 64), "fc1": (64, 128), "fc2": (128, 64)}
    sizes = {
        "lora": sum(2 * (inputs + outputs) for inputs, outputs in shapes.values()),
        "dora": sum(2 * (inputs + outputs) + outputs for inputs, outputs in shapes.values()),
        "ia3": 192 + 128,
    }
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained == 4 * sizes[adapter] + 650
    optimizer = build_optimizer(model, config.optimizer)
    assert sum(each.numel() for group in optimizer.param_groups for each in group["params"]) == trained
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train_steps(model, config)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(("adapter", "decayed"), [("lora", "lora_A lora_B"), ("dora", "lora_A lora_B"), ("ia3", "")])
def test_weight_decay_is_on_matrices_only(adapter: str, decayed: str) -> None:
    config = config_of(adapter=adapter).with_values({"optimizer.weight_decay": 0.1})
    model = built(config)
    groups = build_optimizer(model, config.optimizer).param_groups
    matrices = {id(each) for group in groups if group["weight_decay"] for each in group["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in matrices}
    assert {name.split(".")[-3] for name in names - {"head.weight"}} == set(decayed.split())


def test_the_seed_decides_the_initialization() -> None:
    one, same = (built(config_of(adapter="lora")).state_dict() for _ in range(2))
    other = built(config_of(adapter="lora").with_values({"seed": 1})).state_dict()
    name = "blocks.0.attn.qkv.lora_A.default.weight"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])
    assert not torch.equal(one[name], one[name.replace(".0.", ".1.")])


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_resumed_trial_gives_the_same_bits(
    small: FineTuneConfig,
    train: Callable,
    tmp_path: Path,
    make_listener: Callable,
    adapter: str,
) -> None:
    """With the best of the averaged weights."""
    changed = {"ema_decay": 0.9, "selection": "best_val", "test": False}
    config = small.with_values({"model.adapter": adapter, "optimizer.lr": 0.3, **changed})
    path = tmp_path / "checkpoint.pt"
    whole, whole_seen = train(config, make_listener(save_at=8, path=path))
    rest, rest_seen = train(config, resume=path)
    assert rest_seen.curve("train_loss") == whole_seen.curve("train_loss")
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, rest.model.state_dict()[name]), name


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_tested_model_is_the_merged_one(
    small: FineTuneConfig, digits: ImageStore, train: Callable, adapter: str, ema_decay: float
) -> None:
    """Validation uses the adapters; after the last step it has, within rounding, the loss of the merged model."""
    config = small.with_values({"model.adapter": adapter, "optimizer.lr": 0.3, "ema_decay": ema_decay})
    result, seen = train(config)
    model = build_tested_model(config, 10)
    model.load_state_dict(result.model.state_dict())
    splits = digits.split(config.val_fraction, config.data_fraction, config.subset_seed)
    for indices, loss in ((splits.test, result.metrics["test_loss"]), (splits.val, seen.curve("val_loss")[-1][1])):
        batches = eval_batches(digits, indices, config.resolution, 64)
        found = evaluate(model, batches, indices, NORMALIZATIONS["inception"], CPU).predictions
        assert found.mean_loss == pytest.approx(loss, rel=1e-5)


def test_micro_batches_accumulate_to_the_batch(small: FineTuneConfig, train: Callable) -> None:
    config = small.with_values({"model.adapter": "dora", "steps": 4, "num_evals": 1, "test": False})
    _, whole = train(config)
    _, parts = train(config.with_values({"micro_batch": 4}))
    for (_, loss), (_, other) in zip(whole.curve("train_loss"), parts.curve("train_loss"), strict=True):
        assert loss == pytest.approx(other, abs=1e-5)


OF_EVERY_KIND = ["eva02_tiny_patch14_224", "beitv2_base_patch16_224", "hiera_tiny_224", "swinv2_tiny_window8_256"]
MORE_BACKBONES = [
    "vit_base_patch16_224",
    "deit3_small_patch16_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_patch16_dinov3",
    "swin_tiny_patch4_window7_224",
    "vit_base_patch16_siglip_224",
]


@pytest.mark.parametrize(
    ("name", "adapter"),
    [
        *((name, "lora") for name in (*OF_EVERY_KIND, *MORE_BACKBONES)),
        *((name, "ia3") for name in OF_EVERY_KIND),
        *(pytest.param(name, "ia3", marks=pytest.mark.long) for name in MORE_BACKBONES),
    ],
)
def test_modern_backbones_are_adapted(name: str, adapter: str) -> None:
    """EVA and BEiT read the weights of their layers, unless their bias is separate."""
    config = config_of(name, 256 if "256" in name else 224, pretrained=False, adapter=adapter)
    check_model(config, None)


@pytest.mark.parametrize(
    "name", ["eva02_tiny_patch14_224", pytest.param("beit_base_patch16_224", marks=pytest.mark.long)]
)
def test_a_separate_bias_changes_no_logits(name: str) -> None:
    plain, adapted = (built(config_of(name, 224, pretrained=False, adapter=each)).eval() for each in ("none", "ia3"))
    images = images_of(224)[:1]
    with torch.inference_mode():
        torch.testing.assert_close(adapted(images), plain(images), atol=1e-5, rtol=1e-5)
        for _, layer in adapted_layers(adapted):
            layer.ia3_l["default"].mul_(1.5)
        unmerged = adapted(images)
        merge_adapters(adapted)
        plain.load_state_dict(adapted.state_dict())
        assert (plain(images) - built(config_of(name, 224, pretrained=False)).eval()(images)).abs().max() > 1e-3
        torch.testing.assert_close(plain(images), unmerged, atol=1e-4, rtol=1e-4)


WRONG = {
    "bit_nano": "must be none: bit_nano has no linear layers for it in attention or MLP",
    "convnext_atto": "must be none: convnext_atto has no linear layers for it in attention or MLP",
    "tests.revit.models.test_adapters:reads_weights": "must be none: .* reads the weight of blocks.0.attn.qkv without",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_model_that_cannot_be_adapted_is_refused_in_one_line(name: str) -> None:
    config = config_of().with_values(
        {"model.name": name, "model.pretrained": False, "model.adapter": "lora", "normalization": "inception",
         "resolution": 224}
    )  # fmt: skip
    with pytest.raises(InputError, match=f"model.adapter = 'lora': {WRONG[name]}"):
        check_model(config, None)


def reads_weights(num_classes: int, resolution: int) -> nn.Module:
    """Build a ViT whose first layer is not called."""
    from timm.models.vision_transformer import VisionTransformer

    model = VisionTransformer(img_size=resolution, num_classes=num_classes, embed_dim=64, depth=1, num_heads=2)
    attention: Any = model.blocks[0].attn
    attention.forward = lambda x, **_: nn.functional.linear(x, attention.qkv.weight)[..., :64]
    return model


def test_the_model_without_memory_has_adapters_and_frozen_parts() -> None:
    model = empty_model(config_of(adapter="lora", trained="attention"), 10)
    assert all(parameter.is_meta for parameter in model.parameters())
    assert describe_adapters(model) == {
        "class": "peft.tuners.lora.layer.Linear",
        "rank": [8],
        "scaling": [2.0],
        "layers": {"blocks.*.attn.qkv": 4, "blocks.*.attn.proj": 4},
    }
    assert not model.get_parameter("blocks.0.mlp.fc1.weight").requires_grad
