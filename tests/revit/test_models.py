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

from revit.architectures import MODELS, patch_size
from revit.config import FineTuneConfig
from revit.datasets.loader import eval_batches
from revit.datasets.store import open_store
from revit.errors import InputError
from revit.fine_tune import evaluate
from revit.models import build_model, check_model
from revit.weights import PACKAGED, WEIGHTS_DIR_VARIABLE, find_weights, weights_digest


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


def test_no_position_embedding_is_zero_and_frozen_when_pretrained_absent_when_not() -> None:
    pretrained = built(config_of(model__pos_embed="none"), 10)
    assert not pretrained.pos_embed.requires_grad
    assert pretrained.pos_embed.count_nonzero() == 0
    assert built(config_of(model__pos_embed="none", model__pretrained=False), 10).pos_embed is None
    learned = built(config_of(), 10)
    kept = {name: tensor for name, tensor in learned.state_dict().items() if name != "pos_embed"}
    for name, tensor in kept.items():
        assert torch.equal(tensor, pretrained.state_dict()[name]), name


@pytest.mark.parametrize("resolution", [8, 28, 64])
def test_the_backbone_is_the_file_with_its_positions_resampled_by_timm(resolution: int) -> None:
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
def test_the_head_starts_as_asked(init: str, std: float) -> None:
    head = built(config_of(model__head_init=init), 1000).get_classifier()
    assert head.weight.std().item() == pytest.approx(std, rel=0.05)
    assert head.bias.count_nonzero() == 0


def test_the_seed_draws_what_is_random_and_nothing_else() -> None:
    states = [built(config_of(model__head_init="normal", seed=s), 10).state_dict() for s in (0, 0, 1)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    differing = {name for name in states[0] if not torch.equal(states[0][name], states[2][name])}
    assert differing == {"head.weight"}


def test_dropout_reaches_every_dense_layer_and_the_position_embedding() -> None:
    model = built(config_of(model__dropout=0.3), 10)
    dropped = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout) and m.p > 0]
    assert dropped == [0.3] * (1 + 3 * 4)  # the embedding; of each layer attention output, two of the MLP


def test_the_table_states_what_the_models_are() -> None:
    for name, spec in MODELS.items():
        model = built(config_of(model__name=name, resolution=spec.pretrained_resolution), 10)
        assert sum(p.numel() for p in model.parameters()) == spec.num_params
        assert model.patch_embed.patch_size == (spec.patch_size, spec.patch_size)
        weights = find_weights(config_of(model__name=name).model)
        assert weights is not None
        assert weights.stat().st_size <= 2_000_000
        assert weights.with_suffix(".md").exists()


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18", "test_vit"])
def test_any_timm_classifier_is_built_by_its_name(name: str) -> None:
    model = built(config_of(model__name=name, model__pretrained=False, resolution=32), 5)
    assert model.eval()(images_of(32)).shape == (4, 5)


def test_the_patch_size_of_a_timm_name() -> None:
    assert patch_size("vit_base_patch16_224.orig_in21k") == 16
    assert patch_size("resnet18") is None


def test_a_timm_vit_takes_weights_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "vit_tiny_patch16_224"
    torch.manual_seed(3)
    source = timm.create_model(name, num_classes=3)
    save_file(source.state_dict(), tmp_path / f"{name}.safetensors")
    monkeypatch.setenv(WEIGHTS_DIR_VARIABLE, str(tmp_path))
    model = built(config_of(model__name=name, resolution=224, model__head_init="normal"), 10)
    assert torch.equal(model.blocks[0].attn.qkv.weight, source.blocks[0].attn.qkv.weight)
    assert torch.equal(model.pos_embed, source.pos_embed)


def test_wrong_weights_are_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no pretrained weights vit_tiny_patch16_224.safetensors"):
        built(config_of(model__name="vit_tiny_patch16_224", resolution=32), 10)
    monkeypatch.setenv(WEIGHTS_DIR_VARIABLE, str(tmp_path))
    path = tmp_path / "vit_nano.safetensors"
    path.write_bytes(b"torn")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        built(config_of(), 10)
    other = built(config_of(model__pretrained=False), 10).state_dict()
    other["blocks.0.mlp.fc1.weight"] = torch.zeros(100, 64)
    del other["blocks.3.mlp.fc2.bias"]
    save_file(other, path)
    with pytest.raises(InputError, match=r"blocks.0.mlp.fc1.weight, blocks.3.mlp.fc2.bias"):
        built(config_of(), 10)


def test_the_digest_of_weights_changes_with_a_bit(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"a")
    before = weights_digest(path)
    path.write_bytes(b"b")
    assert weights_digest(path) != before
    assert weights_digest(None) is None


def test_an_unknown_model_names_close_ones() -> None:
    with pytest.raises(InputError, match="vit_base_patch16_224"):
        check_model("vit_base_patch_16_224")
    check_model("vit_nano")


def test_a_model_without_position_embedding_cannot_lose_it() -> None:
    with pytest.raises(InputError, match="resnet18 has no position embedding"):
        built(config_of(model__name="resnet18", model__pretrained=False, model__pos_embed="none"), 10)


def test_fine_tuning_beats_training_from_scratch_on_a_tenth_of_the_data(train: Callable) -> None:
    """Mean over three seeds; the margin that makes a study on these weights worth running."""
    config = FineTuneConfig(
        dataset="digits", resolution=28, crop_scale=(0.6, 1.0), flip=False, batch_size=32, steps=60, data_fraction=0.1
    ).with_values({"optimizer.lr": 0.1})
    accuracy = {
        pretrained: [
            train(config.with_values({"model.pretrained": pretrained, "seed": seed}))[0].metrics["test_accuracy"]
            for seed in range(3)
        ]
        for pretrained in (True, False)
    }
    assert sum(accuracy[True]) / 3 >= 0.7
    assert sum(accuracy[True]) / 3 - sum(accuracy[False]) / 3 >= 0.3
    assert min(accuracy[True]) > max(accuracy[False])


def test_the_shipped_weights_reach_on_fashion_mnist_what_their_card_says(cache_dir: Path) -> None:
    try:
        store = open_store("fashion_mnist", data_dir=Path("data"), cache_dir=cache_dir)
    except InputError as missing:
        pytest.skip(str(missing))
    model = built(config_of(model__pretrained=False), 10)
    model.load_state_dict(load_file(PACKAGED / "vit_nano.safetensors"))
    test = np.flatnonzero(store.is_test)
    answers = evaluate(model, eval_batches(store, test, 28, 256), test, torch.device("cpu"))
    stated = re.search(r"Test accuracy: ([\d.]+)%", (PACKAGED / "vit_nano.md").read_text())
    assert stated is not None
    assert 100 * answers.accuracy == pytest.approx(float(stated.group(1)), abs=0.02)
    assert answers.accuracy >= 0.88
