"""The table that is shipped: complete, and as it would be made now."""

import json

import pytest

from revit.training.known_costs import TABLE, flops_key, memory_key
from revit.training.memory_shape import MIN_CLASSES
from study.forecast.cost_table import cost_table, flops_shapes, memory_shapes

ADVICE = "make it again: python -m study.forecast.cost_table"


def test_every_shape_of_the_packages_studies_is_in_the_table() -> None:
    table = json.loads(TABLE.read_text())
    assert {flops_key(each) for each in flops_shapes()} == table["flops"].keys(), ADVICE
    keys = {memory_key(shape, MIN_CLASSES, mode, on_gpu=on_gpu) for shape, mode, on_gpu in memory_shapes()}
    assert keys == table["memory"].keys(), ADVICE


@pytest.mark.long
def test_the_table_is_as_it_would_be_made_now() -> None:
    table, now = json.loads(TABLE.read_text()), cost_table()
    assert (table["versions"], table["flops"]) == (now["versions"], now["flops"])
    for key, lines in now["memory"].items():
        for size in (1, 32, 128):
            peaks = [max(base + image * size for base, image in each) for each in (lines, table["memory"][key])]
            assert peaks[0] == pytest.approx(peaks[1], rel=1e-4), key
