"""Colors as people see them whose color vision is deficient, and how far apart two of them look."""

import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

SIMULATIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
"""Matrices of linear RGB, severity 1.0: Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113."""


def difference(one: str, other: str, vision: str) -> float:
    """Return CIEDE2000 of two colors (`#rrggbb`) as somebody sees them; 2.3 is just noticeable."""
    return float(deltaE_ciede2000(*(rgb2lab(_simulate(color, vision)) for color in (one, other))))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors, 1 to 21, as WCAG 2 defines it."""
    dark, light = sorted(float(_linear(color) @ (0.2126, 0.7152, 0.0722)) for color in (one, other))
    return (light + 0.05) / (dark + 0.05)


def _simulate(color: str, vision: str) -> np.ndarray:
    seen = np.clip(SIMULATIONS[vision] @ _linear(color), 0, 1)
    return np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)


def _linear(color: str) -> np.ndarray:
    shares = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
