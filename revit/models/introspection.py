"""Arrays inside a model that figures show, for every VisionTransformer of timm.

The figures are 1 to 3 of "[RE] A Comprehensive Analysis of ViT Fine-tuning"; 1 and 2 follow Figure 7 of "An Image
is Worth 16x16 Words" (the ViT paper). Shapes: B images of R x R pixels, cut into G x G patches of P x P pixels;
N tokens, prefix tokens (class, registers) first; D width, L layers, H heads.
"""

from contextlib import ExitStack, suppress

import numpy as np
import numpy.typing as npt
import torch
from timm.layers.attention import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from revit.errors import InputError
from revit.models.internals_file import Internals

Floats = npt.NDArray[np.float32]


def inspect_model(model: nn.Module, image: Tensor) -> Internals:
    """Return what figures show of a model: all three of the functions below, as far as it has them.

    Args:
        image: whose attention is returned: (1, 3, R, R) in [-1, 1], on the model's device.

    Raises:
        InputError: the model is not a VisionTransformer, or its patch embedding does not read RGB pixels.
    """
    vit = _vision_transformer(model)
    filters = (embedding_filters(vit) * 255).round().astype(np.uint8)
    similarity = attention = None
    with suppress(InputError):
        similarity = pos_embed_similarity(vit).astype(np.float16)
    if vit.has_class_token:
        with suppress(InputError):
            of_class = attention_maps(vit, image, num_queries=1)[:, 0, :, 0, vit.num_prefix_tokens :]
            attention = of_class.reshape(*of_class.shape[:2], *vit.patch_embed.grid_size).astype(np.float16)
    return Internals(filters, similarity, attention)


def embedding_filters(model: nn.Module) -> Floats:
    """Return the filters of the patch embedding as RGB images, rows first: (D, P, P, 3).

    Figure 1. Each filter is scaled to 0..1 by its own minimum and maximum; a constant filter is 0.5.

    Raises:
        InputError: the model is not a VisionTransformer, or its patch embedding does not read RGB pixels.
    """
    embedding = _vision_transformer(model).patch_embed
    filters = embedding.proj
    if not isinstance(filters, nn.Conv2d) or filters.in_channels != 3:
        kind = type(embedding).__name__
        raise InputError(f"the model's patch embedding ({kind}) does not read RGB pixels: its filters are not pictures")
    pictures = filters.weight.detach().permute(0, 2, 3, 1).float().cpu().numpy()
    low = pictures.min(axis=(1, 2, 3), keepdims=True)
    spread = pictures.max(axis=(1, 2, 3), keepdims=True) - low
    return np.where(spread > 0, (pictures - low) / np.where(spread > 0, spread, 1), np.float32(0.5))


def pos_embed_similarity(model: nn.Module) -> Floats:
    """Return the cosine similarity of the patches' position embeddings, -1..1: (G, G, G, G).

    Figure 2, and Figure 7 (center) of the ViT paper. `[i, j]` is the map of the patch in row i, column j. Prefix
    tokens are left out.

    Raises:
        InputError: the model is not a VisionTransformer, or its position embedding is absent or all zero (removed).
    """
    vit = _vision_transformer(model)
    if vit.pos_embed is None:
        raise InputError("the model's position embedding is absent: there is nothing to compare")
    num_prefix = 0 if vit.no_embed_class else vit.num_prefix_tokens
    patches = vit.pos_embed.detach()[0, num_prefix:].cpu().double()
    if not patches.any():
        raise InputError("the model's position embedding is all zero, as a removed one is: there is nothing to compare")
    unit = nn.functional.normalize(patches, dim=1)
    grid = vit.patch_embed.grid_size
    return (unit @ unit.T).float().reshape(*grid, *grid).numpy()


def pos_embed_correlation(model: nn.Module) -> float | None:
    """Return the rank correlation (Spearman's rho) of distance and similarity over all pairs of patches, -1..1.

    The distance is Euclidean, in the grid; the similarity that of `pos_embed_similarity`. Below 0, closer patches have
    more similar position embeddings. None for a model without position embeddings, or whose patches are all alike.
    """
    try:
        similarity = pos_embed_similarity(model)
    except InputError:
        return None
    rows, columns = similarity.shape[:2]
    one, other = np.triu_indices(rows * columns, 1)
    squared_distance = (one // columns - other // columns) ** 2 + (one % columns - other % columns) ** 2
    of_pairs = similarity.reshape(rows * columns, -1)[one, other]
    if len(np.unique(squared_distance)) < 2 or len(np.unique(of_pairs)) < 2:
        return None
    return float(np.corrcoef(_ranks(squared_distance), _ranks(of_pairs))[0, 1])


def _ranks(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Return the ranks of values, (n,); equal ones share their mean rank. SciPy's take half a second to import."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[group])


def attention_maps(model: nn.Module, images: Tensor, *, num_queries: int | None = None) -> Floats:
    """Return the attention of every layer and head, 0..1: (L, B, H, N, N).

    Figure 3. `[..., q, :]` is the attention of token q, and sums to 1. It is taken in one forward pass without dropout
    or fused attention. The model and the random state do not change. An image takes 22 MB for ViT-B/16 at 224 px,
    0.6 GB at 512 px.

    Args:
        images: (B, 3, R, R) in [-1, 1], on the model's device.
        num_queries: tokens whose attention is returned, the first Q: (L, B, H, Q, N); None for all.

    Raises:
        InputError: the model is not a VisionTransformer, or a layer's attention is not timm's `Attention`.
        AssertionError: the images have another size than the model's (raised by timm).
    """
    vit = _vision_transformer(model)
    maps: list[Floats] = []

    def keep(_: nn.Module, inputs: tuple[Tensor]) -> None:
        maps.append(inputs[0][:, :, :num_queries].float().cpu().numpy())

    with torch.inference_mode(), ExitStack() as cleanup:
        for number, block in enumerate(vit.blocks):
            layer = getattr(block, "attn", None)
            if not isinstance(layer, Attention):
                kind = f"{type(block).__name__} with attn = {type(layer).__name__}"
                raise InputError(f"block {number} of the model is a {kind}: only timm's Attention has maps")
            cleanup.enter_context(layer.attn_drop.register_forward_pre_hook(keep))
        for module in vit.modules():
            for switch in {"training", "fused_attn"} & vars(module).keys():
                cleanup.callback(setattr, module, switch, getattr(module, switch))
                setattr(module, switch, False)
        vit.forward_features(images)
    return np.stack(maps)


def _vision_transformer(model: nn.Module) -> VisionTransformer:
    if not isinstance(model, VisionTransformer):
        raise InputError(f"the model is a {type(model).__name__}: these figures need a VisionTransformer of timm")
    return model
