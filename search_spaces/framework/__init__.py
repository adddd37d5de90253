"""The framework that studies are written in: search space, claims, recipes, scales, published numbers.

A study's module needs two imports:

    from revit.config import FineTuneConfig
    from search_spaces.framework import Best, SearchSpace
"""

from search_spaces.framework.claim_cells import Cell, Difference, Value
from search_spaces.framework.claims import (
    Best,
    BetterThan,
    Claim,
    InRange,
    LargerGap,
    Matches,
    NoDifference,
    Trend,
)
from search_spaces.framework.published import read_paper
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace

__all__ = [
    "Best",
    "BetterThan",
    "Cell",
    "Claim",
    "Difference",
    "InRange",
    "LargerGap",
    "Matches",
    "NoDifference",
    "Range",
    "Search",
    "SearchSpace",
    "Trend",
    "Value",
    "read_paper",
]
