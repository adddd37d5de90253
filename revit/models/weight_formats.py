"""Readers of pretrained weights in public formats, renamed as in timm. Nothing read is executed.

.npz            ViT or BiT as Google published them (JAX), in both layouts of ViT
.safetensors    timm's names, or those of the ViT in Hugging Face transformers
.pth .pt .bin   PyTorch files, tensors only
a folder        of Hugging Face transformers: config.json with model.safetensors
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor

from revit.errors import InputError, first_line
from revit.models.weights import weights_file
from revit.paths import check_regular


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read tensors by timm's names, on the CPU, without resizing any.

    Raises:
        InputError: the file is damaged, not a regular file, of an unknown format, or a pickle that would run code.
    """
    file = weights_file(path)
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
    if not arrays.keys() & {"embedding/kernel", "resnet/root_block/standardized_conv2d/kernel"}:
        raise InputError(f"{path} holds neither a ViT nor a BiT as Google published them")
    for name, array in arrays.items():
        if array.ndim > 0 and array.dtype.kind != "f":
            raise InputError(f"{path}: {name} holds {array.dtype}; must be floating-point numbers")
    return _renamed({_pytorch_name(name): _from_jax(name, array) for name, array in arrays.items()}, JAX_NAMES)


FORMATS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    ".npz": _read_npz,
    ".safetensors": lambda path: _from_transformers(load_file(path)),
    ".pth": _read_pytorch,
    ".pt": _read_pytorch,
    ".bin": _read_pytorch,
}


def _from_jax(name: str, array: npt.NDArray[np.floating]) -> Tensor:
    """Return an array as PyTorch stores it: linear weights transposed, convolutions OIHW, heads flattened."""
    tensor = torch.from_numpy(np.asarray(array, dtype=np.float32))
    if name == "pos_embedding":  # of big_vision: without the class token
        return torch.cat([torch.zeros_like(tensor[:, :1]), tensor], dim=1)
    if re.search("/(query|key|value)/", name):
        tensor = tensor.flatten(-2)
    if name.endswith("/out/kernel"):
        tensor = tensor.flatten(0, 1)
    if name.endswith("/kernel"):
        return (tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor.mT).contiguous()
    return tensor


def _pytorch_name(name: str) -> str:
    """Return a JAX name with PyTorch's leaves, and a BiT's stage and block counted from 0."""
    name = re.sub("/(kernel|scale|gamma)$", "/weight", name).replace("/beta", "/bias")
    return re.sub(r"block(\d+)/unit(\d+)", lambda found: f"stages.{int(found[1]) - 1}.blocks.{int(found[2]) - 1}", name)


def _from_transformers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a ViT of Hugging Face transformers as timm does; leave those of other models unchanged."""
    bare = {name.removeprefix("vit."): tensor for name, tensor in tensors.items()}
    if "embeddings.patch_embeddings.projection.weight" not in bare:
        return tensors
    return _renamed(bare, TRANSFORMERS_NAMES)


def _renamed(tensors: dict[str, Tensor], names: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """Rename tensors; leave out those without a name in timm, such as a pooler; concatenate query, key and value."""
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, target in names:
            if found := re.fullmatch(pattern, name):
                renamed[found.expand(target)] = tensor
    for query in [name for name in renamed if ".query." in name]:
        parts = [renamed.pop(query.replace("query", part)) for part in ("query", "key", "value")]
        renamed[query.replace("query", "qkv")] = torch.cat(parts)
    return renamed


JAX_NAMES = (
    ("cls", "cls_token"),
    ("(Transformer/posembed_input/)?pos_embedding", "pos_embed"),
    (r"embedding/(\w+)", r"patch_embed.proj.\1"),
    (r"Transformer/encoder_norm/(\w+)", r"norm.\1"),
    (r"head/(\w+)", r"head.\1"),
    (
        r".*encoderblock_(\d+)/MultiHeadDotProductAttention_\d/(query|key|value)/(\w+)",
        r"blocks.\1.attn.\2.\3",
    ),
    (r".*encoderblock_(\d+)/MultiHeadDotProductAttention_\d/out/(\w+)", r"blocks.\1.attn.proj.\2"),
    (r".*encoderblock_(\d+)/LayerNorm_0/(\w+)", r"blocks.\1.norm1.\2"),
    (r".*encoderblock_(\d+)/LayerNorm_[12]/(\w+)", r"blocks.\1.norm2.\2"),
    (r".*encoderblock_(\d+)/MlpBlock_\d/Dense_0/(\w+)", r"blocks.\1.mlp.fc1.\2"),
    (r".*encoderblock_(\d+)/MlpBlock_\d/Dense_1/(\w+)", r"blocks.\1.mlp.fc2.\2"),
    (r"resnet/root_block/standardized_conv2d/weight", "stem.conv.weight"),
    (r"resnet/group_norm/(\w+)", r"norm.\1"),
    (r"resnet/head/conv2d/(\w+)", r"head.fc.\1"),
    (r"resnet/(stages\S+)/a/proj/standardized_conv2d/weight", r"\1.downsample.conv.weight"),
    *((rf"resnet/(stages\S+)/{x}/standardized_conv2d/weight", rf"\1.conv{n}.weight") for n, x in enumerate("abc", 1)),
    *((rf"resnet/(stages\S+)/{x}/group_norm/(\w+)", rf"\1.norm{n}.\2") for n, x in enumerate("abc", 1)),
)
"""Patterns of JAX's names, after `_pytorch_name`, with timm's names: ViT in both layouts, BiT."""

TRANSFORMERS_NAMES = (
    (r"embeddings\.cls_token", r"cls_token"),
    (r"embeddings\.position_embeddings", r"pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.(\w+)", r"patch_embed.proj.\1"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(\w+)", r"blocks.\1.attn.\2.\3"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.(\w+)", r"blocks.\1.norm1.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.(\w+)", r"blocks.\1.norm2.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"blocks.\1.mlp.fc1.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"blocks.\1.mlp.fc2.\2"),
    (r"layernorm\.(\w+)", r"norm.\1"),
    (r"classifier\.(\w+)", r"head.\1"),
)
