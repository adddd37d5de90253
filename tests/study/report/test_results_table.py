"""The table of results on the page, with what explains it."""

import itertools
from pathlib import Path

import pytest

import search_spaces
from study.ledger.ledger import Ledger
from study.report.paper_tables import paper_table
from study.report.results_table import results_context
from tests.study.report.small_study import finish


@pytest.mark.parametrize("scale", ["paper", "nano"])
def test_values_are_compared_with_published_ones_at_their_scale_only(tmp_path: Path, scale: str) -> None:
    plan = finish(search_spaces.load("pos_embed").variant(scale=scale), (0, 1, 2), itertools.repeat(0.9))
    context = results_context(plan, Ledger(tmp_path), paper_table(plan))
    assert context["is_compared"] == (scale == "paper")
    assert context["notes"] == ["n = 3 seeds in each cell.", context["intervals"], *context["caveats"]]
    assert context["ui"].startswith("http://")
    assert not context["server"]
