"""Table of the costs of the package's own studies, counted once, which plans read without torch.

`python -m study.forecast.cost_table` makes it. Memory counts with the versions of torch and timm that traced it only.
"""

import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from revit.config import FineTuneConfig

TABLE = Path(__file__).with_name("known_costs.json")
LIBRARIES = ("torch", "timm")


def known_flops(shape: FineTuneConfig) -> tuple[float, ...] | None:
    """Return what `revit.training.trial_flops` counts for a config; None if it is not in the table."""
    found = _table()["flops"].get(flops_key(shape))
    return None if found is None else tuple(found)


def known_memory(
    shape: FineTuneConfig, num_classes: int, precision: str, *, on_gpu: bool
) -> tuple[tuple[int, int], ...] | None:
    """Return what `revit.training.memory_estimate.trace_memory` returns of a config; None if it is not known."""
    table = _table()
    found = table["memory"].get(memory_key(shape, num_classes, precision, on_gpu=on_gpu))
    return None if found is None or table["versions"] != versions() else tuple(map(tuple, found))


def flops_key(shape: FineTuneConfig) -> str:
    """Return the key of a config in the table of FLOPs: its fields that differ from the default."""
    default = FineTuneConfig(dataset="digits", steps=1).flat()
    return json.dumps({name: value for name, value in shape.flat().items() if value != default[name]})


def memory_key(shape: FineTuneConfig, num_classes: int, precision: str, *, on_gpu: bool) -> str:
    """Return the key of a config in the table of memory."""
    return f"{num_classes} classes, {precision}, {'gpu' if on_gpu else 'cpu'}: {flops_key(shape)}"


@cache
def versions() -> dict[str, str]:
    """Return the versions of LIBRARIES."""
    return {name: version(name) for name in LIBRARIES}


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = {"versions": {}, "flops": {}, "memory": {}}
    return {**table, **json.loads(TABLE.read_text())} if TABLE.exists() else table
