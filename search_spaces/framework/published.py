"""Published accuracies: the rows of `published.csv`, each with its source."""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from search_spaces.framework.claims import Value


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published test accuracy, of a single run unless noted.

    Attributes:
        table: the paper's table whose study shows it.
        dataset: a name of the registry, or `flowers` for Flowers-102 in any of its splits.
        accuracy_pct: in percent.
        num_test: images it was tested on; None where the source does not say.
        source: who measured it; `re_vit` is the paper.
    """

    table: int
    dataset: str
    model: str
    resolution: int
    data_fraction: float
    optimizer: str
    schedule: str
    pos_embed: str
    accuracy_pct: float
    num_test: int | None
    source: str
    note: str

    @property
    def point(self) -> Mapping[str, Value]:
        """Value on every axis that the study of its table compares."""
        return {
            "dataset": self.dataset,
            "model.name": self.model,
            "resolution": self.resolution,
            "data_fraction": self.data_fraction,
            "optimizer.name": self.optimizer,
            "schedule.name": self.schedule,
            "model.pos_embed": self.pos_embed,
            **_EXTRA_VALUES.get(self.table, {}),
        }

    @property
    def identifying_axes(self) -> frozenset[str]:
        """Axes on which a cell must equal `point` to be shown beside it.

        A number from the paper's tables is shown beside its cell, whatever the recipe. A number from elsewhere is
        shown beside the same experiment only.
        """
        if self.source not in TABLE_SOURCES:
            return frozenset(self.point)
        return frozenset({*TABLE_AXES[self.table], *_EXTRA_VALUES.get(self.table, {})})


@cache
def published() -> tuple[Published, ...]:
    """Return the rows of `published.csv`, in its order."""
    text = files(__package__).joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(_row(fields) for fields in csv.DictReader(text.splitlines()))


PAPER = "re_vit"
"""Source of the paper's own numbers."""
TITLE = (
    "[RE] A Comprehensive Analysis of ViT Fine-tuning: "
    "Exploring resolution, dataset size, domain shift, and ablation study"
)
AUTHORS = "Seonjin Hwang, Jewoo Kwak and Jiwon Park"
URL = "https://github.com/passiona2z/RE_ViT"
"""Repository of the paper's code and notebooks, as the paper names it."""
TABLE_SOURCES = (PAPER, "vit_2021")
"""Sources of the paper's tables: its own numbers, and those of the ViT paper that Table 1 quotes."""

TABLE_AXES: Mapping[int, tuple[str, ...]] = {
    1: ("dataset",),
    2: ("dataset", "resolution"),
    3: ("dataset", "model.name", "data_fraction"),
    4: ("dataset", "model.name"),
    5: ("optimizer.name", "schedule.name"),
    6: ("model.pos_embed",),
}
"""Axes on which the cells of a table differ. Other values are the paper's; a recipe may train others."""

_EXTRA_VALUES: Mapping[int, Mapping[str, Value]] = {
    3: {"budget": "matched epochs"},
    5: {"optimizer.lr": 1e-3},
    6: {"image": "reported"},
}
"""Values of a table's experiment on axes that its study adds to the paper's."""


_NUMBERS: Mapping[str, Callable[[str], Any]] = {
    "table": int,
    "resolution": int,
    "data_fraction": float,
    "accuracy_pct": float,
}


def _row(fields: dict[str, str]) -> Published:
    num_test = fields.pop("n_test")
    values = {name: _NUMBERS.get(name, str)(text) for name, text in fields.items()}
    return Published(**values, num_test=int(num_test) if num_test else None)
