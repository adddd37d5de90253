"""Weights of ViT and BiT by the names and in the shapes of Google's files, of any size, with random values."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

Shapes = dict[str, tuple[int, ...]]


class VitSize(NamedTuple):
    """Sizes of a ViT. `num_labels` is of the head that it was pretrained with."""

    width: int
    depth: int
    heads: int
    hidden: int
    patch: int
    grid: int
    num_labels: int


class BitSize(NamedTuple):
    """Sizes of a BiT: residual units and channels of each block."""

    units: tuple[int, ...]
    channels: tuple[int, ...]
    stem: int
    num_labels: int


VIT_B16 = VitSize(width=768, depth=12, heads=12, hidden=3072, patch=16, grid=14, num_labels=21_843)
BIT_R50X1 = BitSize(units=(3, 4, 6, 3), channels=(256, 512, 1024, 2048), stem=64, num_labels=21_843)


def vit_shapes(size: VitSize, *, big_vision: bool = False, pre_logits: bool = True) -> Shapes:
    """Shapes of a ViT in the layout of 2020, or in that of big_vision.

    Args:
        pre_logits: with the layer that files of 2020 have before the head, but for those fine-tuned on ImageNet.
    """
    width, heads, hidden, patch, grid = size.width, size.heads, size.hidden, size.patch, size.grid
    attention, norm2, mlp = (
        ("MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0")
        if big_vision
        else ("MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3")
    )
    shapes: Shapes = {
        "cls": (1, 1, width),
        "embedding/kernel": (patch, patch, 3, width),
        "embedding/bias": (width,),
        "Transformer/encoder_norm/scale": (width,),
        "Transformer/encoder_norm/bias": (width,),
        "head/kernel": (width, size.num_labels),
        "head/bias": (size.num_labels,),
    }
    if big_vision:
        shapes["pos_embedding"] = (1, grid * grid, width)
    else:
        shapes["Transformer/posembed_input/pos_embedding"] = (1, grid * grid + 1, width)
        if pre_logits:
            shapes |= {"pre_logits/kernel": (width, width), "pre_logits/bias": (width,)}
    for layer in range(size.depth):
        block = f"Transformer/encoderblock_{layer}"
        for norm in ("LayerNorm_0", norm2):
            shapes |= {f"{block}/{norm}/{leaf}": (width,) for leaf in ("scale", "bias")}
        for name in ("query", "key", "value"):
            shapes[f"{block}/{attention}/{name}/kernel"] = (width, heads, width // heads)
            shapes[f"{block}/{attention}/{name}/bias"] = (heads, width // heads)
        shapes[f"{block}/{attention}/out/kernel"] = (heads, width // heads, width)
        shapes[f"{block}/{attention}/out/bias"] = (width,)
        shapes |= {
            f"{block}/{mlp}/Dense_0/kernel": (width, hidden),
            f"{block}/{mlp}/Dense_0/bias": (hidden,),
            f"{block}/{mlp}/Dense_1/kernel": (hidden, width),
            f"{block}/{mlp}/Dense_1/bias": (width,),
        }
    return {f"params/{name}": shape for name, shape in shapes.items()} if big_vision else shapes


def bit_shapes(size: BitSize) -> Shapes:
    last = size.channels[-1]
    shapes: Shapes = {
        "root_block/standardized_conv2d/kernel": (7, 7, 3, size.stem),
        "group_norm/gamma": (last,), "group_norm/beta": (last,),
        "head/conv2d/kernel": (1, 1, last, size.num_labels), "head/conv2d/bias": (size.num_labels,),
    }  # fmt: skip
    width_in = size.stem
    for block, (units, width) in enumerate(zip(size.units, size.channels, strict=True), start=1):
        for unit in range(1, units + 1):
            name, mid = f"block{block}/unit{unit:02d}", width // 4
            convs = {"a": (1, 1, width_in, mid), "b": (3, 3, mid, mid), "c": (1, 1, mid, width)}
            for letter, shape in convs.items():
                shapes[f"{name}/{letter}/standardized_conv2d/kernel"] = shape
                shapes |= {f"{name}/{letter}/group_norm/{leaf}": (shape[2],) for leaf in ("gamma", "beta")}
            if unit == 1:
                shapes[f"{name}/a/proj/standardized_conv2d/kernel"] = (1, 1, width_in, width)
            width_in = width
    return {f"resnet/{name}": shape for name, shape in shapes.items()}


def random_arrays(shapes: Shapes, std: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: std * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def num_values(shapes: Iterable[tuple[int, ...]]) -> int:
    return sum(int(np.prod(shape)) for shape in shapes)
