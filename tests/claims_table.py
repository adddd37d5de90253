"""Table of docs/reproduce.md: each conclusion of the paper, its claims, their verdicts from the published numbers.

python -m tests.claims_table
"""

import search_spaces
from revit.training.metrics import find_metric
from search_spaces.framework.sentences import read_sentences
from search_spaces.framework.space import SearchSpace
from study.analysis.claim_tests import ClaimResult, evaluate_claims
from study.analysis.verdicts import published_results
from study.report.claim_list import effect_unit, format_claim, format_effect

HEAD = ("| published | claim | study | verdict from the published numbers |", "|---|---|---|---|")


def claims_table() -> list[str]:
    """Return the lines of the table of tested sentences, in the order of the studies' tables."""
    spaces = [search_spaces.load(name) for name in search_spaces.names_in()]
    ordered = sorted((space for space in spaces if space.claims), key=lambda space: space.table or "7")
    return [*HEAD, *(line for space in ordered for line in _lines(space))]


def _lines(space: SearchSpace) -> list[str]:
    metric, results = find_metric(space.metric), evaluate_claims(space.claims, published_results(space))
    return [
        f"| {each.claim.quote} | {format_claim(each, metric)} | `{space.name}` | {_verdict(each)} |" for each in results
    ]


def _verdict(result: ClaimResult) -> str:
    metric = find_metric("accuracy")
    if result.effect is None:
        return "no published numbers"
    return f"{result.verdict}, {format_effect(result, metric)} {effect_unit(result, metric)}"


def reasons_table() -> list[str]:
    """Return the lines of the table of sentences that no claim tests."""
    rows = [f"| {each.text} | {each.reason} |" for each in read_sentences("re_vit") if each.reason]
    return ["| published | why no claim tests it |", "|---|---|", *rows]


if __name__ == "__main__":
    print("\n".join([*claims_table(), "", *reasons_table()]))
