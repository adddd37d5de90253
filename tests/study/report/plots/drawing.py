"""Helpers for tests of figures: made-up curves, pixels of a drawn picture."""

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

NASTY = "<b>x</b> & %{y}"
"""A name that plotly would read as HTML and as a template."""


def pixels_of(trace: Any) -> np.ndarray:
    """Return the PNG inside an image trace."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(trace.source.split(",")[1]))).convert("RGBA"))


def picture_in(figure: Any) -> np.ndarray:
    """Return the pixels of a figure's first image trace."""
    return pixels_of(next(trace for trace in figure.data if trace.type == "image"))


def random_curves(num_cells: int, num_seeds: int, num_steps: int, metric: str = "val_accuracy") -> pd.DataFrame:
    """Return columns cell, seed, step and a random metric."""
    rng = np.random.default_rng(0)
    rows = [
        (f"cell {cell}", seed, step, rng.uniform())
        for cell in range(num_cells)
        for seed in range(num_seeds)
        for step in range(num_steps)
    ]
    return pd.DataFrame(rows, columns=["cell", "seed", "step", metric])
