"""The pruners of a study's cells, for the trials of its searches that are about to run."""

from collections.abc import Mapping
from typing import NamedTuple

from study.ledger.ledger import Ledger
from study.ledger.records import SearchTag, TrialRecord
from study.planning import Planner
from study.search.pruners import CurvePruner, cell_pruner
from study.trial import Trial


class PrunedPoint(NamedTuple):
    """Pruner of a cell, with the number of one of its points."""

    pruner: CurvePruner
    number: int


class CellPruners:
    """The pruners of curves, one per cell. Each begins with the curves that the ledger has of its cell."""

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
        if label not in self._pruners:
            cell = next(each for each in self._planner.cells if each.values == tag.cell)
            self._pruners[label] = cell_pruner(name, self._planner.search(cell, records), self._ledger.curve)
        return PrunedPoint(self._pruners[label], tag.number)
