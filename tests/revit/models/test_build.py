import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed

import search_spaces
from revit.config import FineTuneConfig
from revit.datasets.batches import eval_batches
from revit.datasets.image_store import open_store
from revit.errors import InputError
from revit.models.architectures import MODELS
from revit.models.build import build_model, check_model
from revit.models.dropout import active_dropout
from revit.models.normalization import NORMALIZATIONS
from revit.models.weights import PACKAGED, WEIGHTS_DIR_VARIABLE, find_weights
from revit.training.evaluation import evaluate


def config_of(**values: object) -> FineTuneConfig:
    return FineTuneConfig(dataset="digits", steps=1).with_values({k.replace("__", "."): v for k, v in values.items()})


def built(config: FineTuneConfig, num_classes: int) -> Any:
    return build_model(config, num_classes, find_weights(config.model))


def images_of(resolution: int, count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, resolution, resolution, generator=torch.Generator().manual_seed(0))


def shuffle_patches(images: torch.Tensor, patch: int) -> torch.Tensor:
    """The same patches (patch x patch px) of each image in another order."""
    count, channels, side, _ = images.shape
    grid = side // patch
    cut = images.reshape(count, channels, grid, patch, grid, patch).permute(2, 4, 0, 1, 3, 5).flatten(0, 1)
    cut = cut[torch.randperm(grid * grid, generator=torch.Generator().manual_seed(1))]
    cut = cut.reshape(grid, grid, count, channels, patch, patch).permute(2, 3, 0, 4, 1, 5)
    return cut.reshape(count, channels, side, side)


@pytest.mark.parametrize("pretrained", [True, False])
def test_without_position_embedding_the_order_of_patches_does_not_matter(pretrained: bool) -> None:
    for pos_embed, alike in (("none", True), ("learned", False)):
        values = {"model__pos_embed": pos_embed, "model__pretrained": pretrained, "model__head_init": "normal"}
        model = built(config_of(**values), 10).eval()
        images = images_of(28)
        with torch.inference_mode():
            straight, shuffled = model(images), model(shuffle_patches(images, 4))
        assert torch.allclose(straight, shuffled, atol=1e-5) is alike, pos_embed


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_removed_position_embedding_is_zero_and_frozen_and_all_other_weights_are_equal(pretrained: bool) -> None:
    none = built(config_of(model__pos_embed="none", model__pretrained=pretrained), 10)
    learned = built(config_of(model__pretrained=pretrained), 10)
    assert not none.pos_embed.requires_grad
    assert none.pos_embed.count_nonzero() == 0
    for name, tensor in learned.state_dict().items():
        assert torch.equal(tensor, none.state_dict()[name]) is (name != "pos_embed"), name


def test_both_cells_of_table_6_have_the_same_initial_weights_and_dropout() -> None:
    """Counted by PyTorch's hooks; 12 layers with three calls each, and one after the embedding."""
    values = {"model__name": "vit_cifar_scratch", "model__pretrained": False, "model__dropout": 0.1, "resolution": 32}
    arms = [built(config_of(**values, model__pos_embed=arm, model__embed_std=1.0), 10) for arm in ("learned", "none")]
    assert [num_dropping_calls(arm) for arm in arms] == [37, 37]
    one, other = (arm.state_dict() for arm in arms)
    assert [name for name in one if not torch.equal(one[name], other[name])] == ["pos_embed"]


def num_dropping_calls(model: torch.nn.Module) -> int:
    calls: list[torch.nn.Module] = []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) and module.p > 0:
            module.register_forward_hook(lambda module, *_: calls.append(module))
    model.train()(images_of(32))
    return len(calls)


@pytest.mark.parametrize("resolution", [8, 28, 64])
def test_the_backbone_equals_timms_with_resampled_position_embedding(resolution: int) -> None:
    config = config_of(resolution=resolution)
    path = find_weights(config.model)
    assert path is not None
    given = load_file(path)
    model = built(config, 7)
    for name, tensor in model.state_dict().items():
        if name == "pos_embed":
            side = resolution // 4
            expected = resample_abs_pos_embed(given[name], [side, side], num_prefix_tokens=1)
        elif name.startswith("head."):
            assert len(tensor) == 7
            continue
        else:
            expected = given[name]
        torch.testing.assert_close(tensor, expected)


@pytest.mark.parametrize(("init", "std"), [("zeros", 0.0), ("trunc_normal", 0.02), ("normal", 0.01)])
def test_each_head_initialization_has_its_distribution(init: str, std: float) -> None:
    head = built(config_of(model__head_init=init), 1000).get_classifier()
    assert head.weight.std().item() == pytest.approx(std, rel=0.05)
    assert head.bias.count_nonzero() == 0


def test_the_seed_changes_only_the_random_weights() -> None:
    states = [built(config_of(model__head_init="normal", seed=s), 10).state_dict() for s in (0, 0, 1)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    differing = {name for name in states[0] if not torch.equal(states[0][name], states[2][name])}
    assert differing == {"head.weight"}


def test_dropout_reaches_every_dense_layer_and_the_position_embedding() -> None:
    model = built(config_of(model__dropout=0.3), 10)
    dropped = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout) and m.p > 0]
    assert dropped == [0.3] * (1 + 3 * 4)  # the embedding; of each layer attention output, two of the MLP


def test_the_registry_describes_the_built_models() -> None:
    for name, spec in MODELS.items():
        model = built(config_of(model__name=name, resolution=spec.resolution, model__pretrained=False), 10)
        assert sum(p.numel() for p in model.parameters()) == spec.num_params
        assert hasattr(model, "patch_embed") is (spec.patch_size is not None)
        if spec.patch_size is not None:
            assert model.patch_embed.patch_size == (spec.patch_size, spec.patch_size)


SMALL_MODELS = ["vit_nano", "bit_nano", "vit_nano_small"]
LARGE_MODELS = ["vit_nano_medium", "vit_nano_large"]
PACKAGED_MODELS = [*SMALL_MODELS, *LARGE_MODELS]
MIN_ACCURACY = {"vit_nano_small": 0.86}


@pytest.mark.parametrize("name", PACKAGED_MODELS)
def test_packaged_weights_are_small_and_have_a_card(name: str) -> None:
    weights = PACKAGED / f"{name}.safetensors"
    assert weights.stat().st_size <= 3_000_000
    card = weights.with_suffix(".md").read_text()
    for text in (
        "Test accuracy",
        f"`python -m revit.training.pretrain {name}",
        "Seed: 0",
        "Fashion-MNIST",
        "Date: 20",
    ):
        assert text in card


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18", "test_vit"])
def test_any_timm_classifier_is_built_by_name(name: str) -> None:
    model = built(config_of(model__name=name, model__pretrained=False, resolution=32), 5)
    assert model.eval()(images_of(32)).shape == (4, 5)


def test_a_timm_vit_takes_weights_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "vit_tiny_patch16_224"
    torch.manual_seed(3)
    source = timm.create_model(name, num_classes=3)
    save_file(source.state_dict(), tmp_path / f"{name}.safetensors")
    monkeypatch.setenv(WEIGHTS_DIR_VARIABLE, str(tmp_path))
    model = built(config_of(model__name=name, resolution=224, model__head_init="normal"), 10)
    assert torch.equal(model.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    assert torch.equal(model.pos_embed, source.pos_embed)


def test_a_timm_resnet_takes_weights_though_its_head_has_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = timm.create_model("resnet18", num_classes=3)
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    monkeypatch.setenv(WEIGHTS_DIR_VARIABLE, str(tmp_path))
    model = built(config_of(model__name="resnet18", resolution=32), 10)
    assert torch.equal(model.layer1[0].conv1.weight, source.layer1[0].conv1.weight)
    assert model.fc.weight.shape == (10, 512)


def test_missing_weights_are_a_one_line_error() -> None:
    with pytest.raises(InputError, match="weights of vit_tiny_patch16_224 not found: "):
        built(config_of(model__name="vit_tiny_patch16_224", resolution=32), 10)


WRONG_MODELS: dict[str, tuple[dict[str, object], str]] = {
    "an unknown tag": (
        {"model__name": "vit_base_patch16_224.orig_in21", "resolution": 32},
        "closest: vit_base_patch16_224.orig_in21k",
    ),
    "an unknown name": ({"model__name": "vit_base_patch_16_224"}, "closest: .*vit_base_patch16_224"),
    "a patch size that the name does not state": ({"model__name": "test_vit", "resolution": 30}, "multiple of 16"),
    "no position embedding": ({"model__name": "resnet18", "model__pos_embed": "none"}, "resnet18 has no position"),
    "dropout in a CNN": ({"model__name": "bit_nano", "model__dropout": 0.1}, r"model\.dropout = 0\.1: is for ViTs"),
    "attention in a CNN": ({"model__name": "bit_nano", "model__attn_out_proj": False}, r"model\.attn_out_proj"),
    "micro-batches through BatchNorm": ({"model__name": "resnet18", "micro_batch": 4}, "BatchNorm"),
}


@pytest.mark.parametrize("case", WRONG_MODELS)
def test_an_invalid_model_is_refused_before_memory_is_allocated(case: str) -> None:
    values, message = WRONG_MODELS[case]
    with pytest.raises(InputError, match=message):
        check_model(config_of(model__pretrained=False, **values), None)


def test_mismatched_weights_are_refused_before_memory_is_allocated(tmp_path: Path) -> None:
    save_file(
        built(config_of(model__name="bit_nano", model__pretrained=False), 10).state_dict(), tmp_path / "w.safetensors"
    )
    with pytest.raises(InputError, match="weights of another model"):
        check_model(config_of(), tmp_path / "w.safetensors")
    check_model(config_of(), PACKAGED / "vit_nano.safetensors")


@pytest.mark.parametrize("name", ["vit_b16_in21k", "bit_r50x1_in21k", "deit_tiny_distilled_patch16_224", "vit_nano"])
def test_checking_a_model_builds_it_without_memory(name: str) -> None:
    check_model(config_of(model__name=name, model__pretrained=False, resolution=224), None)


def test_the_ablation_model_has_the_parameters_of_the_authors_code() -> None:
    """815,754, counted in their code: no output projection, MLP of 64, 12 layers."""
    values = {"model__name": "vit_cifar_scratch", "model__pretrained": False, "resolution": 32}
    theirs = built(config_of(**values, model__attn_out_proj=False, model__embed_std=1.0), 10)
    assert sum(p.numel() for p in theirs.parameters()) == 815_754
    assert theirs.pos_embed.std().item() == pytest.approx(1, abs=0.05)
    assert theirs.cls_token.std().item() == pytest.approx(1, abs=0.3)
    standard = built(config_of(**values), 10)
    assert standard.pos_embed.std().item() == pytest.approx(0.02, abs=0.002)
    assert theirs.eval()(images_of(32)).shape == (4, 10)


def test_the_ablation_model_has_49_dropouts_and_torchs_initialization() -> None:
    """Table 6 by their recipe: 12 calls in attention beside the 37, and each linear layer as a new nn.Linear."""
    [theirs, _, ours, _] = [
        built(each.config, 10)
        for recipe in ("authors", "paper")
        for each in search_spaces.load("pos_embed").variant(recipe=recipe).candidates((0,))
        if each.requested_values["image"] == "reported"
    ]
    calls = {entry["module"]: entry["calls"] for entry in active_dropout(theirs, 32)}
    assert calls["blocks.*.attn"] == 12
    assert sum(calls.values()) == 49
    assert sum(entry["calls"] for entry in active_dropout(ours, 32)) == 37
    layers = [module for module in theirs.modules() if isinstance(module, torch.nn.Linear)]
    assert len(layers) == 12 * 3 + 1
    for layer in layers:
        fresh = torch.nn.Linear(layer.in_features, layer.out_features)
        for name in ("weight", "bias"):
            drawn, expected = getattr(layer, name), getattr(fresh, name)
            assert drawn.abs().max() <= layer.in_features**-0.5
            if drawn.numel() > 1000:
                assert drawn.std().item() == pytest.approx(expected.std().item(), rel=0.05)
    assert {round(layer.weight.std().item(), 2) for layer in layers} == {0.05, 0.07}
    assert {round(b.mlp.fc1.weight.std().item(), 2) for b in ours.blocks} == {0.02}


def test_head_dropout_reaches_the_head_only() -> None:
    for name in ("vit_nano", "bit_nano"):
        model = built(config_of(model__name=name, model__pretrained=False, model__head_dropout=0.3), 10)
        assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout) and m.p > 0] == [0.3]


def test_fine_tuning_beats_training_from_scratch_on_a_tenth_of_the_data(train: Callable) -> None:
    """Mean over two seeds; the margin that makes a study on these weights worth running."""
    config = FineTuneConfig(
        dataset="digits", resolution=28, crop_scale=(0.6, 1.0), hflip=False, batch_size=32, steps=40, num_evals=1,
        data_fraction=0.1,
    ).with_values({"optimizer.lr": 0.1})  # fmt: skip
    accuracy = {
        pretrained: [
            train(config.with_values({"model.pretrained": pretrained, "seed": seed}))[0].metrics["test_accuracy"]
            for seed in range(2)
        ]
        for pretrained in (True, False)
    }
    assert sum(accuracy[True]) / 2 >= 0.7
    assert sum(accuracy[True]) / 2 - sum(accuracy[False]) / 2 >= 0.3
    assert min(accuracy[True]) > max(accuracy[False])


@pytest.mark.parametrize(
    "name", [*SMALL_MODELS, *(pytest.param(name, marks=pytest.mark.long) for name in LARGE_MODELS)]
)
def test_packaged_weights_reach_the_accuracy_of_their_card(cache_dir: Path, name: str) -> None:
    try:
        store = open_store("fashion_mnist", data_dir=Path("data"), cache_dir=cache_dir)
    except InputError as missing:
        pytest.skip(str(missing))
    model = built(config_of(model__name=name, model__pretrained=False), 10)
    model.load_state_dict(load_file(PACKAGED / f"{name}.safetensors"))
    test = np.flatnonzero(store.is_test)
    batches = eval_batches(store, test, 28, 256)
    answers = evaluate(model, batches, test, NORMALIZATIONS["inception"], torch.device("cpu")).predictions
    card = (PACKAGED / f"{name}.md").read_text()
    stated = re.search(r"Test accuracy: ([\d.]+)%", card)
    assert stated is not None
    rounding = 0.1 if "bf16" in card else 0.02
    assert 100 * answers.accuracy == pytest.approx(float(stated.group(1)), abs=rounding)
    assert answers.accuracy >= MIN_ACCURACY.get(name, 0.88)
