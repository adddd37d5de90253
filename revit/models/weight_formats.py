"""Readers of pretrained weights in public formats, renamed as in timm. Nothing read is executed.

.npz            ViT or BiT as Google published them (JAX), in both layouts of ViT
.safetensors    timm's names, or those of the ViT in Hugging Face transformers
.pth .pt .bin   PyTorch files, tensors only
a folder        of Hugging Face transformers: config.json with model.safetensors
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor

from revit.errors import InputError, first_line
from revit.paths import check_regular

Arrays = Mapping[str, npt.NDArray[np.floating]]


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read tensors by timm's names, on the CPU, without resizing any.

    Raises:
        InputError: the file is damaged, not a regular file, of an unknown format, or a pickle that would run code.
    """
    file = path / "model.safetensors" if path.is_dir() else path
    if file.suffix not in FORMATS:
        raise InputError(f"{path}: unknown format of weights; must be one of {', '.join(FORMATS)}, or a folder")
    check_regular(file)
    try:
        return FORMATS[file.suffix](file)
    except InputError:
        raise
    except UnpicklingError as error:
        raise InputError(f"{file} holds more than tensors, which could run code: not opened") from error
    except Exception as error:  # numpy, torch, zipfile raise errors of many types on a damaged file
        raise InputError(f"{file} is not a readable {file.suffix} file of weights: {first_line(error)}") from error


def _read_pytorch(path: Path) -> dict[str, Tensor]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    is_named = isinstance(content, dict) and all(isinstance(name, str) for name in content)
    if not is_named or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path} does not hold named tensors")
    return _from_transformers(content)


def _read_npz(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        arrays = {name.removeprefix("params/"): file[name] for name in file.files}
    for name, array in arrays.items():
        if array.ndim > 0 and array.dtype.kind != "f":
            raise InputError(f"{path}: {name} holds {array.dtype}; must be floating-point numbers")
    try:
        if "embedding/kernel" in arrays:
            return dict(_from_jax_vit(arrays))
        if "resnet/root_block/standardized_conv2d/kernel" in arrays:
            return dict(_from_jax_bit(arrays))
    except KeyError as error:
        raise InputError(f"{path} is an incomplete ViT or BiT: {first_line(error)}") from error
    raise InputError(f"{path} holds neither a ViT nor a BiT as Google published them")


FORMATS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    ".npz": _read_npz,
    ".safetensors": lambda path: _from_transformers(load_file(path)),
    ".pth": _read_pytorch,
    ".pt": _read_pytorch,
    ".bin": _read_pytorch,
}


def _from_jax_vit(arrays: Arrays) -> Iterator[tuple[str, Tensor]]:
    """Convert a ViT in the layout of 2020 or of big_vision, whose class token has no position embedding."""
    yield "cls_token", _tensor(arrays["cls"])
    if "pos_embedding" in arrays:
        patches = _tensor(arrays["pos_embedding"])
        yield "pos_embed", torch.cat([torch.zeros_like(patches[:, :1]), patches], dim=1)
    else:
        yield "pos_embed", _tensor(arrays["Transformer/posembed_input/pos_embedding"])
    yield "patch_embed.proj.weight", _tensor(arrays["embedding/kernel"]).permute(3, 2, 0, 1).contiguous()
    yield "patch_embed.proj.bias", _tensor(arrays["embedding/bias"])
    yield from _pair("norm", arrays, "Transformer/encoder_norm")
    if "head/kernel" in arrays:
        yield "head.weight", _tensor(arrays["head/kernel"]).T.contiguous()
        yield "head.bias", _tensor(arrays["head/bias"])
    for layer in range(sum(1 for name in arrays if re.fullmatch(r".*encoderblock_\d+/LayerNorm_0/scale", name))):
        yield from _jax_vit_block(f"blocks.{layer}", arrays, f"Transformer/encoderblock_{layer}")


def _jax_vit_block(block: str, arrays: Arrays, source: str) -> Iterator[tuple[str, Tensor]]:
    is_old = f"{source}/MultiHeadDotProductAttention_1/query/kernel" in arrays
    attention = f"{source}/" + ("MultiHeadDotProductAttention_1" if is_old else "MultiHeadDotProductAttention_0")
    mlp = f"{source}/" + ("MlpBlock_3" if is_old else "MlpBlock_0")
    width = arrays[f"{source}/LayerNorm_0/scale"].shape[0]
    qkv = [_tensor(arrays[f"{attention}/{name}/kernel"]).reshape(width, -1).T for name in ("query", "key", "value")]
    qkv_bias = [_tensor(arrays[f"{attention}/{name}/bias"]).flatten() for name in ("query", "key", "value")]
    yield f"{block}.attn.qkv.weight", torch.cat(qkv)
    yield f"{block}.attn.qkv.bias", torch.cat(qkv_bias)
    yield f"{block}.attn.proj.weight", _tensor(arrays[f"{attention}/out/kernel"]).reshape(-1, width).T.contiguous()
    yield f"{block}.attn.proj.bias", _tensor(arrays[f"{attention}/out/bias"])
    yield from _pair(f"{block}.norm1", arrays, f"{source}/LayerNorm_0")
    yield from _pair(f"{block}.norm2", arrays, f"{source}/" + ("LayerNorm_2" if is_old else "LayerNorm_1"))
    for number in (0, 1):
        yield f"{block}.mlp.fc{number + 1}.weight", _tensor(arrays[f"{mlp}/Dense_{number}/kernel"]).T.contiguous()
        yield f"{block}.mlp.fc{number + 1}.bias", _tensor(arrays[f"{mlp}/Dense_{number}/bias"])


def _from_jax_bit(arrays: Arrays) -> Iterator[tuple[str, Tensor]]:
    """Convert a BiT ResNet: convolutions HWIO become OIHW."""
    for name, array in arrays.items():
        target = _bit_name(name.removeprefix("resnet/"))
        if target is not None:
            tensor = _tensor(array)
            yield target, tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor


def _bit_name(name: str) -> str | None:
    """Return timm's name of a BiT array; None for arrays that timm does not have, such as a training step."""
    whole = {
        "root_block/standardized_conv2d/kernel": "stem.conv.weight",
        "group_norm/gamma": "norm.weight",
        "group_norm/beta": "norm.bias",
        "head/conv2d/kernel": "head.fc.weight",
        "head/conv2d/bias": "head.fc.bias",
    }
    in_unit = re.fullmatch(r"block(\d+)/unit(\d+)/(a|b|c)/(.+)", name)
    if in_unit is None:
        return whole.get(name)
    block, unit, letter, rest = in_unit.groups()
    number = "abc".index(letter) + 1
    leaf = {
        "standardized_conv2d/kernel": f"conv{number}.weight",
        "proj/standardized_conv2d/kernel": "downsample.conv.weight",
        "group_norm/gamma": f"norm{number}.weight",
        "group_norm/beta": f"norm{number}.bias",
    }.get(rest)
    return None if leaf is None else f"stages.{int(block) - 1}.blocks.{int(unit) - 1}.{leaf}"


def _from_transformers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a ViT of Hugging Face transformers as timm does; leave those of other models unchanged.

    Queries, keys and values are concatenated. The pooler is left out.
    """
    bare = {name.removeprefix("vit."): tensor for name, tensor in tensors.items()}
    if "embeddings.patch_embeddings.projection.weight" not in bare:
        return tensors
    renamed = {}
    for name, tensor in bare.items():
        for pattern, target in TRANSFORMERS_NAMES:
            if found := re.fullmatch(pattern, name):
                renamed[found.expand(target)] = tensor
    for layer in range(sum(name.endswith("layernorm_before.weight") for name in bare)):
        for leaf in ("weight", "bias"):
            names = [f"encoder.layer.{layer}.attention.attention.{each}.{leaf}" for each in ("query", "key", "value")]
            if bare.keys() >= set(names):
                renamed[f"blocks.{layer}.attn.qkv.{leaf}"] = torch.cat([bare[name] for name in names])
    return renamed


TRANSFORMERS_NAMES = (
    (r"embeddings\.cls_token", r"cls_token"),
    (r"embeddings\.position_embeddings", r"pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.(\w+)", r"patch_embed.proj.\1"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.(\w+)", r"blocks.\1.norm1.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.(\w+)", r"blocks.\1.norm2.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"blocks.\1.mlp.fc1.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"blocks.\1.mlp.fc2.\2"),
    (r"layernorm\.(\w+)", r"norm.\1"),
    (r"classifier\.(\w+)", r"head.\1"),
)


def _pair(target: str, arrays: Arrays, source: str) -> Iterator[tuple[str, Tensor]]:
    yield f"{target}.weight", _tensor(arrays[f"{source}/scale"])
    yield f"{target}.bias", _tensor(arrays[f"{source}/bias"])


def _tensor(array: npt.NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32))
