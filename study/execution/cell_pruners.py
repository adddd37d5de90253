"""The pruners of a study's cells, for the trials of its searches that are about to run."""

from collections.abc import Mapping
from typing import NamedTuple

from study.ledger.ledger import Ledger
from study.ledger.records import SearchTag, TrialRecord
from study.planning import Planner
from study.search.past_point import PastPoint
from study.search.pruners import CurvePruner
from study.trial import Trial


class PrunedPoint(NamedTuple):
    """Pruner of a cell, with the number of one of its points, and points that it is to replay before."""

    pruner: CurvePruner
    number: int
    missing: list[PastPoint]


class CellPruners:
    """The pruners of curves, one per cell. They know the curves of all points of their cells that have ended."""

    def __init__(self, planner: Planner, ledger: Ledger) -> None:
        self._planner = planner
        self._ledger = ledger
        self._pruners: dict[str, CurvePruner] = {}

    def find(self, trial: Trial, records: Mapping[str, TrialRecord]) -> PrunedPoint | None:
        """Return the pruner that may end a trial early, None for none."""
        name, text = self._planner.space.search.pruner, trial.tags.get(self._planner.search_tag)
        tag = None if text is None else SearchTag.from_json(text)
        if name is None or name == "wilcoxon" or tag is None:
            return None
        label = str(tag.cell)
        search = self._planner.search(next(each for each in self._planner.cells if each.values == tag.cell), records)
        pruner = self._pruners.setdefault(label, CurvePruner(name, search.objectives[0]))
        return PrunedPoint(pruner, tag.number, pruner.missing(search, tag.number, self._ledger.curve))
