import numpy as np
import pytest
import scipy.ndimage
import torch
from timm.layers import resample_abs_pos_embed
from transformers import ViTConfig, ViTModel

from revit.errors import InputError
from revit.models.position_embeddings import RESIZE_METHODS, resize_pos_embed

WIDTH = 24


def smooth_table(side: int = 14, prefix: int = 1) -> torch.Tensor:
    """A position embedding (1, prefix + side², D) that varies smoothly, as trained ones do, plus noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.meshgrid(np.linspace(0, 3, side), np.linspace(0, 3, side), indexing="ij")
    phases = rng.uniform(0, 6, (WIDTH, 2))
    grid = np.stack([np.sin(rows * a + columns * b) for a, b in phases], axis=-1)
    grid += rng.normal(0, 0.1, grid.shape)
    table = np.concatenate([rng.normal(size=(prefix, WIDTH)), grid.reshape(side * side, WIDTH)])
    return torch.from_numpy(table.astype(np.float32))[None]


def by_timm(table: torch.Tensor, side: int) -> torch.Tensor:
    return resample_abs_pos_embed(table, [side, side], num_prefix_tokens=1)


def by_jax(table: torch.Tensor, side: int) -> torch.Tensor:
    """As the original code does it: scipy.ndimage.zoom of order 1 on the grid."""
    grid = table[0, 1:].numpy().reshape(14, 14, WIDTH)
    zoomed = scipy.ndimage.zoom(grid, (side / 14, side / 14, 1), order=1)
    return torch.cat([table[:, :1], torch.from_numpy(zoomed).reshape(1, side * side, WIDTH)], dim=1)


def by_transformers(table: torch.Tensor, side: int) -> torch.Tensor:
    config = ViTConfig(hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    embeddings = ViTModel(config).embeddings
    with torch.no_grad():
        embeddings.position_embeddings.copy_(table)
        tokens = torch.zeros(1, side * side + 1, WIDTH)
        return embeddings.interpolate_pos_encoding(tokens, side * 16, side * 16)


ORACLES = {"timm": by_timm, "jax": by_jax, "hf": by_transformers}


@pytest.mark.parametrize("method", RESIZE_METHODS)
@pytest.mark.parametrize("side", [4, 8, 24, 32])
def test_each_resize_is_its_public_implementation(method: str, side: int) -> None:
    table = smooth_table()
    ours = resize_pos_embed(table, side * side, num_prefix=1, method=method)
    torch.testing.assert_close(ours, ORACLES[method](table, side), atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [4, 24])
def test_the_three_methods_differ(side: int) -> None:
    one, two, three = (
        resize_pos_embed(smooth_table(), side * side, num_prefix=1, method=method) for method in RESIZE_METHODS
    )
    for a, b in ((one, two), (two, three), (one, three)):
        assert (a - b).norm() / b.norm() > 0.005


@pytest.mark.parametrize("method", RESIZE_METHODS)
def test_a_fitting_grid_and_the_class_token_do_not_change(method: str) -> None:
    table = smooth_table()
    assert resize_pos_embed(table, 196, num_prefix=1, method=method) is table
    resized = resize_pos_embed(table, 64, num_prefix=1, method=method)
    assert resized.shape == (1, 65, WIDTH)
    assert torch.equal(resized[:, :1], table[:, :1])
    constant = torch.ones(1, 197, WIDTH)
    torch.testing.assert_close(resize_pos_embed(constant, 64, num_prefix=1, method=method), torch.ones(1, 65, WIDTH))


def test_a_grid_that_is_not_square_is_refused() -> None:
    with pytest.raises(InputError, match="of 195 patches is not a square grid"):
        resize_pos_embed(smooth_table()[:, :-1], 64, num_prefix=1, method="timm")
