"""Write the table of known costs of the shapes of the package's studies, at every scale.

python -m study.forecast.cost_table
"""

import json
from contextlib import suppress
from functools import cache
from itertools import product
from typing import Any

import search_spaces
from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.training.known_costs import TABLE, flops_key, memory_key, versions
from revit.training.memory_shape import CHANNELS, MIN_CLASSES, Precision, memory_config
from revit.training.trial_flops import count_flops, counted_model, flops_config
from search_spaces.framework.scales import SCALES
from search_spaces.framework.space import SearchSpace

MODES: tuple[tuple[Precision, bool], ...] = (("bf16", True), ("fp32", False))
"""Precisions that are traced, and whether on a GPU."""
TRACED_RECIPES = ("paper", "authors")
"""Recipes that are in the table beside a study's own; shapes of others are counted and traced when they are planned."""


def cost_table() -> dict[str, Any]:
    """Return the table."""
    flops = {flops_key(each): list(count_flops(each)) for each in flops_shapes()}
    memory = {
        memory_key(shape, MIN_CLASSES, precision, on_gpu=on_gpu): traced_lines(shape, precision, on_gpu=on_gpu)
        for shape, precision, on_gpu in memory_shapes()
    }
    return {"versions": versions(), "flops": flops, "memory": memory}


def flops_shapes() -> list[FineTuneConfig]:
    """Return the distinct configs whose FLOPs are counted."""
    return list(dict.fromkeys(flops_config(counted_model(each.model), each.resolution) for each in _configs()))


def memory_shapes() -> list[tuple[FineTuneConfig, Precision, bool]]:
    """Return the distinct configs whose memory is traced, with precision, and whether on a GPU."""
    return list(dict.fromkeys((memory_config(config), *mode) for config in _configs() for mode in MODES))


def traced_lines(shape: FineTuneConfig, precision: Precision, *, on_gpu: bool) -> list[list[int]]:
    """Return the lines of a shape's memory, as JSON has them."""
    from revit.training.memory_estimate import trace_memory

    return [list(line) for line in trace_memory(shape, MIN_CLASSES, CHANNELS, precision, on_gpu=on_gpu)]


@cache
def _configs() -> list[FineTuneConfig]:
    spaces = [space for name in search_spaces.names() for space in _variants(search_spaces.load(name))]
    return [candidate.config for space in spaces for candidate in space.candidates(space.seeds[:1])]


def _variants(space: SearchSpace) -> list[SearchSpace]:
    """Return a study by the recipes of the table, at every scale; one in the folder of a paper by its own recipe."""
    variants = [space]
    if space.base is None:
        others = TRACED_RECIPES if space.name in search_spaces.names_in() else ()
        for recipe, scale in product({space.recipe, *others}, SCALES):
            with suppress(InputError):
                variants.append(space.variant(recipe=recipe, scale=scale))
    return variants


if __name__ == "__main__":
    TABLE.write_text(json.dumps(cost_table(), indent=0, sort_keys=True) + "\n")
