from pathlib import Path

import pytest

from revit.models.architectures import MODELS
from revit.models.cost import HEADER, RESOLUTIONS, _row, forward_gflops, num_params

PAGE = Path(__file__).parents[3] / "docs" / "models.md"
LINES = {line.split("`")[1]: line for line in PAGE.read_text().splitlines() if line.startswith("| `")}
"""Rows of the page, by model."""
COLUMNS = {name: line.strip("| ").split(" | ") for name, line in LINES.items()}

# Figures of an independent count: parameters in millions, GMACs of a forward pass. Its heads are for 100 classes,
# which is less than the tolerance.
VIT_B16 = {64: (85.74, 1.46), 128: (85.77, 5.64), 224: (85.88, 17.56), 384: (86.17, 55.48), 512: (86.51, 107.03)}
BIT_R50 = {64: (23.70, 0.33), 128: (23.70, 1.33), 224: (23.70, 4.09), 384: (23.70, 12.01), 512: (23.70, 21.35)}


@pytest.mark.parametrize(("name", "table"), [("vit_b16_in21k", VIT_B16), ("bit_r50x1_in21k", BIT_R50)])
def test_the_page_equals_an_independent_count(name: str, table: dict[int, tuple[float, float]]) -> None:
    """Within 1 %, or within the two decimals of the figure."""
    assert tuple(table) == RESOLUTIONS
    for gflops, (resolution, (millions, gmacs)) in zip(COLUMNS[name][6:], table.items(), strict=True):
        assert num_params(name, resolution) / 1e6 == pytest.approx(millions, rel=1e-2)
        assert float(gflops) == pytest.approx(2 * gmacs, rel=1e-2, abs=2 * 0.005)


@pytest.mark.parametrize("resolution", [64, 224, 512])
def test_the_cost_of_a_vit_equals_its_closed_form(resolution: int) -> None:
    width, hidden, layers, patches = 768, 3072, 12, (resolution // 16) ** 2
    tokens = patches + 1
    layer = tokens * width * (3 * width + width + 2 * hidden) + 2 * tokens**2 * width
    macs = patches * width * 3 * 16 * 16 + layers * layer + 10 * width
    assert forward_gflops("vit_b16_in21k", resolution) == pytest.approx(2 * macs / 1e9, rel=1e-9)


def test_the_page_has_every_model_in_order() -> None:
    assert PAGE.read_text().startswith(HEADER)
    assert list(LINES) == list(MODELS)


IN_SUITE = {"vit_b16_in21k", "bit_r50x1_in21k", "vit_nano", "bit_nano"}
"""Models take seconds to count; `-m long` counts all."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in IN_SUITE else [pytest.mark.long]) for name in MODELS]
)
def test_a_row_of_the_page_is_up_to_date(name: str) -> None:
    assert LINES[name] == f"| {' | '.join(_row(MODELS[name]))} |"


def test_the_page_states_the_parameters_of_the_registry() -> None:
    sizes = {name: columns[5] for name, columns in COLUMNS.items()}
    assert sizes == {spec.name: f"{spec.num_params / 1e6:.2f} M" for spec in MODELS.values()}
