import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import timm
import torch
from scipy import stats
from sklearn.metrics.pairwise import cosine_similarity
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import ParallelScalingBlock, VisionTransformer
from torch import nn

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.models.build import build_model
from revit.models.introspection import (
    attention_maps,
    embedding_filters,
    inspect_model,
    pos_embed_correlation,
    pos_embed_similarity,
)
from revit.models.weights import find_weights

SIZES = {"img_size": 12, "patch_size": 4, "embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 5}
small_vit = partial(VisionTransformer, **SIZES)
nano_vit = partial(small_vit, embed_dim=64, depth=4, num_heads=4, mlp_ratio=2, pos_drop_rate=0.5, proj_drop_rate=0.5)

VITS: dict[str, Callable[[], VisionTransformer]] = {
    "nano": nano_vit,
    "qk_norm": partial(small_vit, qk_norm=True, init_values=0.1, pre_norm=True),
    "registers": partial(small_vit, reg_tokens=2, no_embed_class=True, qkv_bias=False),
    "no class token": partial(small_vit, class_token=False, global_pool="avg"),
    "distilled": partial(VisionTransformerDistilled, **SIZES),
}


def vit_of(name: str) -> VisionTransformer:
    """Random in every parameter, biases and norms included, and far from uniform attention."""
    torch.manual_seed(0)
    model = VITS[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=0.2)
    return model


@pytest.fixture(params=VITS)
def vit(request: pytest.FixtureRequest) -> VisionTransformer:
    return vit_of(request.param)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1)) * 2 - 1


def normed(x: np.ndarray, norm: nn.LayerNorm) -> np.ndarray:
    deviation = x - x.mean(-1, keepdims=True)
    scaled = deviation / np.sqrt((deviation**2).mean(-1, keepdims=True) + norm.eps)
    return scaled * norm.weight.detach().numpy() + norm.bias.detach().numpy()


def attention_by_hand(block: nn.Module, x: np.ndarray) -> np.ndarray:
    """Softmax of q k / sqrt(size) in float64, one image and one head at a time: (B, N, D) -> (B, H, N, N)."""
    attn, num_heads, width = block.attn, block.attn.num_heads, x.shape[-1]
    weight = attn.qkv.weight.detach().double().numpy()
    bias = np.zeros(3 * width) if attn.qkv.bias is None else attn.qkv.bias.detach().double().numpy()
    size = width // num_heads
    maps = np.empty((len(x), num_heads, x.shape[1], x.shape[1]))
    for image, tokens in enumerate(normed(x.astype(np.float64), block.norm1)):
        for head in range(num_heads):
            of_head = slice(head * size, (head + 1) * size)
            q = tokens @ weight[:width][of_head].T + bias[:width][of_head]
            k = tokens @ weight[width : 2 * width][of_head].T + bias[width : 2 * width][of_head]
            if isinstance(attn.q_norm, nn.LayerNorm):
                q, k = normed(q, attn.q_norm), normed(k, attn.k_norm)
            weights = np.exp(q @ k.T / np.sqrt(size))
            maps[image, head] = weights / weights.sum(axis=1, keepdims=True)
    return maps


def first_block_input(model: VisionTransformer, images: torch.Tensor) -> np.ndarray:
    tokens = [model.patch_embed(images)]
    extra = [model.cls_token, getattr(model, "dist_token", None), model.reg_token]
    prefix = [token.expand(len(images), -1, -1) for token in extra if token is not None]
    if model.no_embed_class:
        tokens[0] = tokens[0] + model.pos_embed
    x = torch.cat(prefix + tokens, dim=1)
    if not model.no_embed_class:
        x = x + model.pos_embed
    return model.norm_pre(x).detach().numpy()


def last_block_input(model: VisionTransformer, images: torch.Tensor) -> np.ndarray:
    wanted = [len(model.blocks) - 2]
    options = {"output_fmt": "NLC", "intermediates_only": True, "return_prefix_tokens": True}
    (found,) = model.forward_intermediates(images, indices=wanted, **options)
    x = torch.cat([found[1], found[0]], dim=1) if isinstance(found, tuple) else found
    return x.detach().numpy()


def hooks_of(model: nn.Module) -> list[object]:
    return [hook for m in model.modules() for hook in (*m._forward_pre_hooks.values(), *m._forward_hooks.values())]


def modes_of(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_attention_is_the_softmax_of_queries_and_keys(vit: VisionTransformer, images: torch.Tensor) -> None:
    vit, images = vit.double(), images.double()
    maps = attention_maps(vit, images)
    vit.eval()
    first = attention_by_hand(vit.blocks[0], first_block_input(vit, images))
    last = attention_by_hand(vit.blocks[-1], last_block_input(vit, images))
    assert maps.shape == (len(vit.blocks), *first.shape)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps.sum(axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(maps[0], first, atol=1e-6)
    np.testing.assert_allclose(maps[-1], last, atol=1e-6)
    assert min(first.max(), last.max()) > 3 / first.shape[-1]  # far enough from uniform to mean something


def unfused_maps(model: VisionTransformer, images: torch.Tensor, scale: float | None = None) -> np.ndarray:
    """The factor of the values in timm's own unfused attention, captured at its dropout; sets `scale`, too."""
    seen: list[torch.Tensor] = []
    for block in model.eval().blocks:
        block.attn.fused_attn = False
        block.attn.scale = scale or block.attn.scale
        block.attn.attn_drop.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    with torch.inference_mode():
        model(images)
    return torch.stack(seen).numpy()


def test_attention_is_what_timm_computes_without_fusing(vit: VisionTransformer, images: torch.Tensor) -> None:
    vit, images = (
        vit.double(),
        images.double(),
    )  # in float32 rounding differs, and layers amplify it
    expected = unfused_maps(copy.deepcopy(vit), images)
    np.testing.assert_allclose(attention_maps(vit, images), expected, atol=1e-6, rtol=0)


def test_attention_uses_the_scale_of_the_layer(vit: VisionTransformer, images: torch.Tensor) -> None:
    expected = unfused_maps(vit, images, scale=0.3)  # fused attention would not read it
    np.testing.assert_allclose(attention_maps(vit, images), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("training", [True, False])
def test_introspection_does_not_change_the_model(vit: VisionTransformer, images: torch.Tensor, training: bool) -> None:
    vit.train(training)
    vit.blocks[0].train(not training)  # mixed modes are restored, too
    vit.blocks[1].attn.register_forward_pre_hook(lambda *_: None)
    modes, hooks, weights = modes_of(vit), hooks_of(vit), copy.deepcopy(vit.state_dict())
    reference = copy.deepcopy(vit)
    torch.manual_seed(5)
    expected = reference(images)
    torch.manual_seed(5)
    attention_maps(vit, images)
    got = vit(images)  # dropout and all: the random numbers were not touched
    assert torch.equal(got, expected)
    assert got.requires_grad
    assert modes_of(vit) == modes
    assert hooks_of(vit) == hooks
    assert all(block.attn.fused_attn is True for block in vit.blocks)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in vit.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in vit.parameters())


def test_a_failed_forward_pass_restores_the_model(images: torch.Tensor) -> None:
    vit = vit_of("nano").train()
    vit.blocks[1].eval()
    modes = modes_of(vit)
    with pytest.raises(AssertionError, match="Input height"):
        attention_maps(vit, torch.zeros(1, 3, 16, 16))
    vit.blocks[2].mlp.register_forward_pre_hook(lambda *_: 1 / 0)
    hooks = hooks_of(vit)
    with pytest.raises(ZeroDivisionError):
        attention_maps(vit, images)
    assert modes_of(vit) == modes
    assert len(hooks) == 1
    assert hooks_of(vit) == hooks
    assert torch.is_grad_enabled()


def test_maps_are_computed_without_dropout(images: torch.Tensor) -> None:
    vit = vit_of("nano").train()
    first, second = attention_maps(vit, images), attention_maps(vit, images)
    assert np.array_equal(first, second)
    assert np.array_equal(first, attention_maps(vit.eval(), images))


def test_attention_of_the_first_tokens_is_the_first_rows_of_all(vit: VisionTransformer, images: torch.Tensor) -> None:
    assert np.array_equal(attention_maps(vit, images, num_queries=2), attention_maps(vit, images)[..., :2, :])


def test_internals_are_those_of_the_model(vit: VisionTransformer, images: torch.Tensor) -> None:
    found = inspect_model(vit, images[:1])
    np.testing.assert_allclose(found.filters / 255, embedding_filters(vit), atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(found.similarity, pos_embed_similarity(vit), atol=1e-3)
    if not vit.has_class_token:
        assert found.attention is None
        return
    of_patches = attention_maps(vit, images)[:, 0, :, 0, -9:]
    np.testing.assert_allclose(found.attention, of_patches.reshape(*of_patches.shape[:2], 3, 3), atol=1e-3)


def test_internals_that_a_model_lacks_are_left_out(images: torch.Tensor) -> None:
    found = inspect_model(small_vit(pos_embed="none", block_fn=ParallelScalingBlock), images[:1])
    assert found.filters.shape == (32, 4, 4, 3)
    assert (found.similarity, found.attention) == (None, None)


def test_a_filter_has_the_layout_of_its_patch() -> None:
    model = nano_vit()
    weight = torch.zeros(64, 3, 4, 4)
    weight[0, 0, 0, 0] = 2.0  # red, top left
    weight[1, 1, 0, 3] = 3.0  # green, top right
    weight[2, 2, 3, 0] = 5.0  # blue, bottom left
    weight[3] = -7.0
    weight[4, :, 1, 2] = torch.tensor([-1.0, 0.0, 3.0])
    model.patch_embed.proj.weight.data = weight
    filters = embedding_filters(model)
    assert filters.shape == (64, 4, 4, 3)
    assert filters.dtype == np.float32
    for number, index in ((0, (0, 0, 0)), (1, (0, 3, 1)), (2, (3, 0, 2))):
        expected = np.zeros((4, 4, 3))
        expected[index] = 1
        np.testing.assert_array_equal(filters[number], expected)
    assert np.all(filters[3] == 0.5)
    np.testing.assert_array_equal(filters[4, 1, 2], [0, 0.25, 1])
    assert filters[4, 0, 0].tolist() == [0.25] * 3
    assert torch.equal(model.patch_embed.proj.weight, weight)


def test_a_filter_responds_most_to_its_own_picture() -> None:
    """A filter responds most to the image in [-1, 1] that is white where the filter is positive, else black."""
    model = vit_of("nano")
    filters = embedding_filters(model)
    weight = model.patch_embed.proj.weight.detach().numpy()
    low, high = weight.min(axis=(1, 2, 3)), weight.max(axis=(1, 2, 3))
    zero = (-low / (high - low))[:, None, None, None]
    pictures = torch.from_numpy(np.sign(filters - zero)).permute(0, 3, 1, 2)
    pictures = nn.functional.pad(pictures, (0, 8, 0, 8))  # the top left patch of 12 px images
    answers = model.patch_embed(pictures)[:, 0].detach().numpy() - model.patch_embed.proj.bias.detach().numpy()
    np.testing.assert_allclose(np.diag(answers), np.abs(weight).sum(axis=(1, 2, 3)), rtol=1e-4)


def test_similarity_is_the_cosine_of_every_two_patches(vit: VisionTransformer) -> None:
    similarity = pos_embed_similarity(vit)
    assert similarity.shape == (3, 3, 3, 3)
    assert similarity.dtype == np.float32
    embeddings = vit.pos_embed.detach().double().numpy()[0]
    patches = embeddings[-9:]  # the prefix comes first
    np.testing.assert_allclose(similarity.reshape(9, 9), cosine_similarity(patches), atol=1e-6)
    np.testing.assert_array_equal(similarity, similarity.transpose(2, 3, 0, 1))
    for row in range(3):
        for column in range(3):
            assert similarity[row, column, row, column] == pytest.approx(1, abs=1e-6)
    with torch.no_grad():
        vit.pos_embed[:, :-9] += 100.0
    np.testing.assert_array_equal(pos_embed_similarity(vit), similarity)


def test_similarity_maps_have_the_layout_of_the_patches() -> None:
    """Positions alike within a row and at right angles between rows; the grid is wider than it is high."""
    model = small_vit(img_size=(8, 16))
    with torch.no_grad():
        model.pos_embed[0, 1:] = torch.eye(2, 32).repeat_interleave(4, dim=0)
    similarity = pos_embed_similarity(model)
    assert similarity.shape == (2, 4, 2, 4)
    for column in range(4):
        np.testing.assert_array_equal(similarity[1, column], [[0] * 4, [1] * 4])


def test_correlation_of_distance_and_similarity_is_spearmans_over_pairs_of_patches(vit: VisionTransformer) -> None:
    places = np.array([(row, column) for row in range(3) for column in range(3)])
    pairs = [(one, other) for one in range(9) for other in range(one + 1, 9)]
    distance = [np.linalg.norm(places[one] - places[other]) for one, other in pairs]
    similarity = pos_embed_similarity(vit).reshape(9, 9)
    expected = stats.spearmanr(np.round(distance, 9), [similarity[pair] for pair in pairs]).statistic
    assert pos_embed_correlation(vit) == pytest.approx(expected)
    assert abs(expected) < 0.9


def test_correlation_is_minus_one_where_nearer_patches_are_always_more_similar() -> None:
    """On a row of patches, embeddings turn by less than half a circle."""
    model = small_vit(img_size=(4, 20))
    angles = torch.linspace(0, 3, 5)
    with torch.no_grad():
        model.pos_embed.zero_()
        model.pos_embed[0, 1:, :2] = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert pos_embed_correlation(model) < -0.99


def test_models_without_embeddings_that_differ_have_no_correlation() -> None:
    zeroed, alike = nano_vit(), nano_vit()
    nn.init.zeros_(zeroed.pos_embed)
    nn.init.ones_(alike.pos_embed)
    models = (nn.Linear(2, 2), small_vit(pos_embed="none"), small_vit(img_size=4), zeroed, alike)
    assert [pos_embed_correlation(model) for model in models] == [None] * len(models)


@pytest.mark.parametrize("prefix", [0.0, 1.0])
def test_a_removed_position_embedding_has_no_similarities(prefix: float) -> None:
    with pytest.raises(InputError, match="position embedding is absent"):
        pos_embed_similarity(small_vit(pos_embed="none"))
    zeroed = nano_vit()
    nn.init.zeros_(zeroed.pos_embed)
    zeroed.pos_embed.data[:, 0] = prefix
    with pytest.raises(InputError, match="position embedding is all zero"):
        pos_embed_similarity(zeroed)


@pytest.mark.parametrize(
    "look",
    [
        embedding_filters,
        pos_embed_similarity,
        lambda m: attention_maps(m, torch.zeros(1)),
        lambda m: inspect_model(m, torch.zeros(1)),
    ],
)
def test_another_model_is_named(look: Callable[[nn.Module], object]) -> None:
    with pytest.raises(InputError, match=r"the model is a ResNet: .* VisionTransformer of timm") as raised:
        look(timm.create_model("test_resnet"))
    assert "\n" not in str(raised.value)


def test_filters_that_are_not_pictures_are_refused() -> None:
    with pytest.raises(InputError, match=r"patch embedding \(PatchEmbed\) does not read RGB pixels"):
        embedding_filters(small_vit(in_chans=1))
    with pytest.raises(InputError, match=r"patch embedding \(HybridEmbed\) does not read RGB pixels"):
        embedding_filters(timm.create_model("vit_tiny_r_s16_p8_224", depth=1))


def test_nonstandard_attention_is_refused(images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="block 0 of the model is a ParallelScalingBlock"):
        attention_maps(small_vit(block_fn=ParallelScalingBlock), images)
    with pytest.raises(InputError, match="Block with attn = DiffAttention"):
        attention_maps(small_vit(attn_layer="diff"), images)


@pytest.mark.parametrize(
    ("values", "layers", "heads"),
    [
        ({"model.name": "vit_nano", "resolution": 28, "model.pretrained": True}, 4, 4),
        (
            {"model.name": "vit_nano", "resolution": 28, "model.pretrained": True, "model.pos_embed": "none"},
            4,
            4,
        ),
        ({"model.name": "vit_cifar_scratch", "resolution": 32, "model.pretrained": False}, 12, 8),
        (
            {"model.name": "vit_cifar_scratch", "resolution": 32, "model.pretrained": False}
            | {"model.attn_out_proj": False, "model.embed_std": 1.0},
            12,
            8,
        ),
        ({"model.name": "vit_p16_scratch", "resolution": 224, "model.pretrained": False}, 12, 8),
        ({"model.name": "vit_b16_in21k", "resolution": 64, "model.pretrained": False}, 12, 12),
        ({"model.name": "vit_tiny_patch16_224", "resolution": 64, "model.pretrained": False}, 12, 3),
    ],
)
def test_every_vit_of_the_studies_can_be_inspected(values: dict[str, object], layers: int, heads: int) -> None:
    config = FineTuneConfig(dataset="digits", resolution=16, steps=1).with_values(
        {"model.name": "vit_tiny_patch16_224", "model.pretrained": False} | values
    )
    model = build_model(config, 10, find_weights(config.model))
    side = config.resolution
    maps = attention_maps(model, torch.zeros(2, 3, side, side))
    num_tokens = (side // model.patch_embed.patch_size[0]) ** 2 + 1
    assert maps.shape == (layers, 2, heads, num_tokens, num_tokens)
    np.testing.assert_allclose(maps.sum(axis=-1), 1, atol=1e-5)
    patch = model.patch_embed.patch_size[0]
    assert embedding_filters(model).shape == (model.embed_dim, patch, patch, 3)
    if config.model.pos_embed == "none":
        with pytest.raises(InputError, match="all zero"):
            pos_embed_similarity(model)
        return
    grid = side // patch
    assert pos_embed_similarity(model).shape == (grid, grid, grid, grid)
