"""Sequential design of a study: at how many seeds its claims are tested, at which level each time.

Whoever tests again and again until a claim passes will see it pass. So the levels of all looks add up to the level of
the study: by the union bound, no more than 5 % of studies without an effect get a verdict at any of their looks,
however the looks depend on each other. A spending function says how much of the level the first looks may use (Lan &
DeMets, Biometrika 70 (1983) 659-663; the power family is that of Kim & DeMets, Biometrika 74 (1987) 149-154).

Few looks, each with half as many seeds again as the one before: a look after every seed would cut the level into pieces
so small that more claims stay inconclusive, and would save hardly more seeds. docs/statistics.md has the simulations by
which looks and spending function were chosen.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from revit.errors import InputError

LEVEL = 0.05
NUM_LOOKS = 4
MIN_SEEDS = 2
"""Fewest seeds of a look: one does not show how much seeds differ."""
POWER_FAMILY, POCOCK, OBRIEN_FLEMING = "power", "pocock", "obrien-fleming"
SPENDING: Mapping[str, Callable[[float, float], float]] = {
    POWER_FAMILY: lambda share, exponent: share**exponent,
    POCOCK: lambda share, _: math.log(1 + (math.e - 1) * share),
    OBRIEN_FLEMING: lambda share, _: _obrien_fleming(share),
}
"""Part of the level that is spent once a share of all seeds is there, from 0 to 1; the second argument shapes it."""
LOOKS, SPENT, EXPONENT, TOTAL = "looks", "spending function", "exponent", "level of all looks"
"""Names of the values of a design in a launch's decision rule."""


def _obrien_fleming(share: float) -> float:
    normal = NormalDist()
    return 2 * (1 - normal.cdf(normal.inv_cdf(1 - LEVEL / 2) / math.sqrt(share))) / LEVEL


@dataclass(frozen=True, kw_only=True)
class SequentialDesign:
    """Looks at a study's claims, with the level of each.

    Attributes:
        looks: numbers of seeds per cell, each larger than the one before.
        spending: a key of SPENDING.
        exponent: of the power family.
        level: of all looks together, two-sided.
    """

    looks: tuple[int, ...]
    spending: str = POWER_FAMILY
    exponent: float = 2.0
    level: float = LEVEL

    @classmethod
    def between(cls, smallest: int, largest: int) -> "SequentialDesign":
        """Return the design whose looks lie between two numbers of seeds, each a constant factor above the last.

        Raises:
            InputError: there are no seeds to add.
        """
        smallest = max(smallest, MIN_SEEDS)
        if largest <= smallest:
            raise InputError(f"--max-seeds = {largest}: must be above the {smallest} seeds of the first look")
        factor = largest / smallest
        steps = (smallest * factor ** (index / (NUM_LOOKS - 1)) for index in range(NUM_LOOKS))
        return cls(looks=tuple(sorted({math.floor(step + 1e-9) for step in steps})))

    @property
    def smallest(self) -> int:
        """Seeds at the first look."""
        return self.looks[0]

    @property
    def largest(self) -> int:
        """Seeds at the last look."""
        return self.looks[-1]

    def level_of(self, look: int) -> float:
        """Return the level of the look with so many seeds."""
        index = self.looks.index(look)
        return self._spent(look) - (self._spent(self.looks[index - 1]) if index else 0.0)

    def _spent(self, num_seeds: int) -> float:
        return self.level * SPENDING[self.spending](num_seeds / self.largest, self.exponent)

    def next_look(self, num_seeds: int) -> int | None:
        """Return the first look with more seeds; None after the last."""
        return next((look for look in self.looks if look > num_seeds), None)

    def to_text(self) -> dict[str, str]:
        """Return the design as text by name."""
        return {
            LOOKS: " ".join(map(str, self.looks)),
            SPENT: self.spending,
            EXPONENT: f"{self.exponent:g}",
            TOTAL: f"{self.level:g}",
        }

    @classmethod
    def from_text(cls, values: Mapping[str, str]) -> "SequentialDesign | None":
        """Return the design that `to_text` gave, among other values; None where there is none."""
        if LOOKS not in values:
            return None
        looks = tuple(map(int, values[LOOKS].split()))
        return cls(looks=looks, spending=values[SPENT], exponent=float(values[EXPONENT]), level=float(values[TOTAL]))

    def __str__(self) -> str:
        levels = ", ".join(f"{100 * self.level_of(look):.2g}" for look in self.looks)
        return f"looks at {', '.join(map(str, self.looks))} seeds, at levels of {levels} %"
