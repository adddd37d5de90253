"""Published accuracies: the rows of `published.csv`, each with its source."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from search_spaces.framework.claims import Value


@dataclass(frozen=True, kw_only=True, eq=False)
class Published:
    """One published test accuracy, of a single run unless noted.

    Attributes:
        table: the paper's table whose study shows it.
        point: value on every axis that this study compares; dataset `flowers` is Flowers-102 in any of its splits.
        accuracy_pct: in percent.
        num_test: images it was tested on; None where the source does not say.
        source: who measured it; `re_vit` is the paper.
    """

    table: int
    point: Mapping[str, Value]
    accuracy_pct: float
    num_test: int | None
    source: str
    note: str

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


def _row(fields: dict[str, str]) -> Published:
    table = int(fields["table"])
    return Published(
        table=table,
        point={
            "dataset": fields["dataset"],
            "model.name": fields["model"],
            "resolution": int(fields["resolution"]),
            "data_fraction": float(fields["data_fraction"]),
            "optimizer.name": fields["optimizer"],
            "schedule.name": fields["schedule"],
            "model.pos_embed": fields["pos_embed"],
            **_EXTRA_VALUES.get(table, {}),
        },
        accuracy_pct=float(fields["accuracy_pct"]),
        num_test=int(fields["n_test"]) if fields["n_test"] else None,
        source=fields["source"],
        note=fields["note"],
    )
