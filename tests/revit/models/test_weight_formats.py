"""Every format, against another implementation fed the same numbers."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.resnetv2 import ResNetV2
from timm.models.vision_transformer import VisionTransformer
from transformers import ViTConfig, ViTForImageClassification, ViTModel

from revit.errors import InputError
from revit.models.build import load_backbone
from revit.models.weight_formats import FORMATS, read_checkpoint
from tests.revit.models.jax_arrays import BitSize, VitSize, bit_shapes, random_arrays, vit_shapes

WIDTH, DEPTH, HEADS, HIDDEN, PATCH, GRID = 32, 2, 4, 48, 8, 4
SMALL_VIT = VitSize(WIDTH, DEPTH, HEADS, HIDDEN, PATCH, GRID, num_labels=21)
SMALL_BIT = BitSize(units=(1, 2), channels=(128, 256), stem=32, num_labels=21)


def small_vit(resolution: int = PATCH * GRID, num_classes: int = 5) -> VisionTransformer:
    return VisionTransformer(
        img_size=resolution, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS,
        mlp_ratio=HIDDEN / WIDTH, num_classes=num_classes,
    ).eval()  # fmt: skip


def images_of(resolution: int) -> torch.Tensor:
    return torch.randn(2, 3, resolution, resolution, generator=torch.Generator().manual_seed(1))


def jax_vit_arrays(big_vision: bool) -> dict[str, np.ndarray]:
    """A ViT with random weights in Google's layout; shapes as in the published files."""
    return random_arrays(vit_shapes(SMALL_VIT, big_vision=big_vision), std=0.3)


def jax_vit_features(arrays: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """The class token after the last norm, (B, D), computed in numpy straight from the arrays."""
    from scipy.special import erf

    arrays = {name.removeprefix("params/"): array.astype(np.float64) for name, array in arrays.items()}
    big_vision = "pos_embedding" in arrays
    attention, norm2, mlp = (
        ("MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0")
        if big_vision
        else ("MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3")
    )

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centered = x - x.mean(-1, keepdims=True)
        return centered / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * arrays[f"{name}/scale"] + arrays[f"{name}/bias"]

    count = len(images)
    cut = images.transpose(0, 2, 3, 1).reshape(count, GRID, PATCH, GRID, PATCH, 3)
    x = np.einsum("bihjwc,hwcd->bijd", cut, arrays["embedding/kernel"]) + arrays["embedding/bias"]
    x = x.reshape(count, GRID * GRID, WIDTH)
    cls = np.broadcast_to(arrays["cls"], (count, 1, WIDTH))
    if big_vision:
        x = np.concatenate([cls, x + arrays["pos_embedding"]], axis=1)
    else:
        x = np.concatenate([cls, x], axis=1) + arrays["Transformer/posembed_input/pos_embedding"]
    for layer in range(DEPTH):
        block = f"Transformer/encoderblock_{layer}"
        y = norm(x, f"{block}/LayerNorm_0")
        q, k, v = (
            np.einsum("bnd,dhe->bhne", y, arrays[f"{block}/{attention}/{name}/kernel"])
            + arrays[f"{block}/{attention}/{name}/bias"][:, None]
            for name in ("query", "key", "value")
        )
        logits = q @ k.swapaxes(-1, -2) / np.sqrt(WIDTH // HEADS)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        mixed = weights / weights.sum(-1, keepdims=True) @ v
        x = x + np.einsum("bhne,hed->bnd", mixed, arrays[f"{block}/{attention}/out/kernel"])
        x = x + arrays[f"{block}/{attention}/out/bias"]
        y = norm(x, f"{block}/{norm2}")
        y = y @ arrays[f"{block}/{mlp}/Dense_0/kernel"] + arrays[f"{block}/{mlp}/Dense_0/bias"]
        y = y * (1 + erf(y / np.sqrt(2))) / 2
        x = x + y @ arrays[f"{block}/{mlp}/Dense_1/kernel"] + arrays[f"{block}/{mlp}/Dense_1/bias"]
    return norm(x, "Transformer/encoder_norm")[:, 0]


@pytest.mark.parametrize("big_vision", [False, True])
def test_both_jax_layouts_of_vit_give_the_logits_of_their_arrays(tmp_path: Path, big_vision: bool) -> None:
    arrays = jax_vit_arrays(big_vision)
    np.savez(tmp_path / "vit.npz", **arrays)
    model = small_vit()
    load_backbone(model, tmp_path / "vit.npz", "jax")
    images = images_of(PATCH * GRID)
    with torch.inference_mode():
        ours = model.forward_features(images)[:, 0]
    np.testing.assert_allclose(ours.numpy(), jax_vit_features(arrays, images.numpy()), atol=1e-4)


def test_the_2020_layout_loads_as_timm_loads_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "vit.npz", **jax_vit_arrays(big_vision=False))
    ours, theirs = small_vit(), small_vit()
    load_backbone(ours, tmp_path / "vit.npz", "jax")
    theirs.load_pretrained(str(tmp_path / "vit.npz"))
    for name, tensor in theirs.state_dict().items():
        if not name.startswith("head"):
            torch.testing.assert_close(ours.state_dict()[name], tensor)


def small_bit(num_classes: int = 5) -> ResNetV2:
    return ResNetV2(
        layers=SMALL_BIT.units, channels=SMALL_BIT.channels, stem_chs=SMALL_BIT.stem, stem_type="fixed",
        num_classes=num_classes,
        conv_layer=lambda *a, **k: timm.layers.StdConv2d(*a, eps=1e-8, **k),
    ).eval()  # fmt: skip


def jax_bit_arrays() -> dict[str, np.ndarray]:
    return random_arrays(bit_shapes(SMALL_BIT), std=0.5)


def test_a_jax_bit_has_the_weights_and_logits_of_timm(tmp_path: Path) -> None:
    np.savez(tmp_path / "bit.npz", **jax_bit_arrays())
    ours, theirs = small_bit(), small_bit()
    load_backbone(ours, tmp_path / "bit.npz", "timm")
    theirs.load_pretrained(str(tmp_path / "bit.npz"))
    images = images_of(64)
    with torch.inference_mode():
        torch.testing.assert_close(ours.forward_features(images), theirs.forward_features(images), atol=1e-5, rtol=1e-5)


def transformers_vit(**changes: int) -> ViTForImageClassification:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, intermediate_size=HIDDEN,
        image_size=PATCH * GRID, patch_size=PATCH, num_labels=5, layer_norm_eps=1e-6, **changes,
    )  # fmt: skip
    model = ViTForImageClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


@pytest.mark.parametrize("resolution", [PATCH * GRID, PATCH * 2, PATCH * 7])
def test_logits_are_those_of_transformers_on_the_same_weights(tmp_path: Path, resolution: int) -> None:
    theirs = transformers_vit()
    theirs.save_pretrained(tmp_path / "vit")
    ours = small_vit(resolution)
    load_backbone(ours, tmp_path / "vit", "hf")
    with torch.no_grad():
        ours.head.weight.copy_(theirs.classifier.weight)
        ours.head.bias.copy_(theirs.classifier.bias)
        images = images_of(resolution)
        expected = theirs(images, interpolate_pos_encoding=True).logits
        torch.testing.assert_close(ours(images), expected, atol=1e-5, rtol=1e-5)


def test_a_backbone_of_the_hub_without_a_head_is_read(tmp_path: Path) -> None:
    """`google/vit-base-patch16-224-in21k` is a ViTModel with a pooler: no `vit.` prefix, no classifier."""
    theirs = transformers_vit().vit
    ViTModel(theirs.config).save_pretrained(tmp_path / "vit")
    load_backbone(small_vit(), tmp_path / "vit", "hf")


def test_pytorch_files_are_read_with_and_without_a_wrapper(tmp_path: Path) -> None:
    source = small_vit()
    for wrap in (lambda state: state, lambda state: {"model": state}, lambda state: {"state_dict": state, "epoch": 3}):
        torch.save(wrap(source.state_dict()), tmp_path / "vit.pth")
        loaded = read_checkpoint(tmp_path / "vit.pth")
        assert all(torch.equal(loaded[name], tensor) for name, tensor in source.state_dict().items())


class Bomb:
    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return (Path.touch, (Path("exploded"),))


def test_a_pickle_that_calls_a_function_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(InputError, match=r"bomb\.pth holds more than tensors"):
        read_checkpoint(tmp_path / "bomb.pth")
    (tmp_path / "bomb.bin").write_bytes(pickle.dumps(Bomb(), protocol=2))
    with pytest.raises(InputError, match=r"bomb\.bin"):
        read_checkpoint(tmp_path / "bomb.bin")
    np.savez(tmp_path / "bomb.npz", w=np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"bomb\.npz"):
        read_checkpoint(tmp_path / "bomb.npz")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_a_damaged_file_is_a_one_line_error(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"vit{suffix}"
    if suffix == ".npz":
        np.savez(path, **jax_vit_arrays(big_vision=False))
    elif suffix == ".safetensors":
        save_file(small_vit().state_dict(), path)
    else:
        torch.save(small_vit().state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(InputError) as raised:
        read_checkpoint(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="neither a ViT nor a BiT"):
        read_checkpoint(tmp_path / "other.npz")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(InputError, match="does not hold named tensors"):
        read_checkpoint(tmp_path / "list.pt")
    (tmp_path / "model.h5").write_text("")
    with pytest.raises(InputError, match=r"unknown format of weights; must be one of \.npz"):
        read_checkpoint(tmp_path / "model.h5")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"not a readable \.safetensors file"):
        read_checkpoint(tmp_path / "folder")
    arrays = jax_vit_arrays(big_vision=False)
    del arrays["Transformer/encoderblock_1/MlpBlock_3/Dense_1/bias"]
    np.savez(tmp_path / "lacking.npz", **arrays)
    with pytest.raises(InputError, match=r"these tensors do not fit: blocks\.1\.mlp\.fc2\.bias$"):
        load_backbone(small_vit(), tmp_path / "lacking.npz", "jax")


@pytest.mark.parametrize("dtype", ["int8", "complex64", "bool"])
def test_weights_that_are_not_floating_point_numbers_are_refused(tmp_path: Path, dtype: str) -> None:
    """As quantized ones are not, which without their scales are other weights."""
    model, name = small_vit(), "blocks.1.mlp.fc1.weight"
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    quantized = {**before, name: torch.ones(before[name].shape, dtype=getattr(torch, dtype))}
    save_file(quantized, tmp_path / "w.safetensors")
    torch.save(quantized, tmp_path / "w.pth")
    arrays = jax_vit_arrays(big_vision=False)
    np.savez(tmp_path / "w.npz", **arrays | {"cls": arrays["cls"].astype(dtype)})
    for suffix, wrong in ((".safetensors", name), (".pth", name), (".npz", "cls")):
        with pytest.raises(InputError, match=rf"w{suffix}: {wrong} holds {dtype}; must be floating-point numbers$"):
            load_backbone(model, tmp_path / f"w{suffix}", "timm")
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in before.items())


def test_half_precision_and_batch_norm_counters_are_loaded(tmp_path: Path) -> None:
    source = timm.create_model("resnet18", num_classes=3)
    halves = {name: t.half() if t.is_floating_point() else t + 7 for name, t in source.state_dict().items()}
    save_file(halves, tmp_path / "w.safetensors")
    model = timm.create_model("resnet18", num_classes=10)
    load_backbone(model, tmp_path / "w.safetensors", "timm")
    assert torch.equal(model.layer1[0].conv1.weight, halves["layer1.0.conv1.weight"].float())
    assert model.bn1.num_batches_tracked == 7


def test_weights_of_another_model_change_nothing(tmp_path: Path) -> None:
    """The mismatched tensors are named, and the model does not change."""
    np.savez(tmp_path / "bit.npz", **jax_bit_arrays())
    model = small_vit()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError, match=r"another model; these tensors do not fit: .* and \d+ more"):
        load_backbone(model, tmp_path / "bit.npz", "timm")
    wider = dict(small_vit().state_dict())
    wider["blocks.1.mlp.fc1.weight"] = torch.zeros(99, WIDTH)
    save_file(wider, tmp_path / "wider.safetensors")
    with pytest.raises(InputError, match=r"do not fit: blocks\.1\.mlp\.fc1\.weight$"):
        load_backbone(model, tmp_path / "wider.safetensors", "timm")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
