"""A point of a cell's search as samplers see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from search_spaces.framework.claim_cells import Value
from study.ledger.states import TrialState


@dataclass(frozen=True, kw_only=True)
class PastPoint:
    """A point that has been asked for.

    Attributes:
        number: 0, 1, ... in the order of asking.
        values: value by nuisance axis, as the study names it; axes that do not exist at the point are absent.
        state: FINISHED, PRUNED, DIVERGED and FAILED have ended; any other is running or still to run.
        objectives: one value for each of the search's objectives, in the unit of its metric; empty unless FINISHED.
        curve: validation value of its trial by optimizer step, or with `wilcoxon` of its seeds by their index; of a
            PRUNED point at least the last.
    """

    number: int
    values: Mapping[str, Value]
    state: TrialState
    objectives: tuple[float, ...] = ()
    curve: Mapping[int, float] = field(default_factory=dict)
