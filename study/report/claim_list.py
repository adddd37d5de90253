"""Claims with their verdicts, as text, Markdown or records."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from revit.training.metrics import METRICS, Metric
from search_spaces.framework.space import SearchSpace
from study.analysis.claim_tests import ASSUMED_SEED_SD, ClaimResult
from study.analysis.verdicts import ClaimVerdict
from study.report.table_markup import escape_markdown

PAIRING = {
    "accuracy": "; where all were tested on\nthe same images, they are compared image by image.",
    "bootstrap": "; the same test images\nare resampled in all trials of a dataset (bootstrap).",
    "": ".",
}
"""Comparison of trials in claims, by the source of the interval over images."""


def claims_context(space: SearchSpace, verdicts: Sequence[ClaimVerdict]) -> dict[str, Any]:
    """Return what the templates show of claims."""
    metric = METRICS[space.metric]
    return {
        "verdicts": verdicts,
        "markdown_claims": to_markdown(verdicts, metric),
        "format_claim": format_claim,
        "format_effect": format_effect,
        "format_p": format_p,
        "format_test": format_test,
        "measure": metric,
        "is_published": space.paper is not None and space.metric == "accuracy",
        "assumed_sd": f"{100 * ASSUMED_SEED_SD:g}",
        "unit": "percentage points (pp)" if metric.difference_unit == "pp" else metric.difference_unit,
        "pairing": PAIRING["accuracy" if space.metric == "accuracy" else "bootstrap" if metric.of_predictions else ""],
    }


def format_claim(result: ClaimResult, metric: Metric) -> str:
    """Return the sentence of a claim."""
    return result.claim.describe(metric.title, metric.difference_unit)


def format_effect(result: ClaimResult, metric: Metric) -> str:
    """Return the effect in its unit with its interval; a dash where there is none."""
    if result.effect is None:
        return "-"
    if result.low is None or result.high is None:
        return metric.format_effect(result.effect)
    low, high = (f"{limit:,.{metric.decimals}f}" for limit in (result.low, result.high))
    return f"{metric.format_effect(result.effect)} [{low}, {high}]"


def format_p(p: float | None) -> str:
    """Return a p value with three decimals; a dash where there is none."""
    if p is None:
        return "-"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def format_test(result: ClaimResult) -> str:
    """Return the statistical test, with what limits it."""
    return "; ".join(part for part in (result.test, result.caveats) if part)


def to_lines(verdicts: Sequence[ClaimVerdict], metric: Metric) -> list[str]:
    """Return a line of plain text per claim."""
    return [_line(each, f"{each.ours.verdict:<12}  {format_claim(each.ours, metric)}", metric) for each in verdicts]


def to_markdown(verdicts: Sequence[ClaimVerdict], metric: Metric) -> str:
    """Return a Markdown list."""
    openings = [f"**{ours.verdict}**: {escape_markdown(format_claim(ours, metric))}" for ours, _ in verdicts]
    return "\n".join(f"- {_line(*each, metric)}" for each in zip(verdicts, openings, strict=True))


def _line(verdict: ClaimVerdict, opening: str, metric: Metric) -> str:
    ours, published = verdict
    effect = f"{format_effect(ours, metric)} {metric.difference_unit}"
    numbers = [] if ours.effect is None else [f"{effect}, p {format_p(ours.p_holm)}"]
    theirs = [] if published is None else [f"verdict recomputed from published numbers: {published.verdict}"]
    return "; ".join(part for part in (opening, *numbers, format_test(ours), *theirs) if part)


def to_records(verdicts: Sequence[ClaimVerdict], metric: Metric) -> list[dict[str, Any]]:
    """Return plain values for JSON."""
    return [
        {**_record(ours, metric), "published": None if published is None else _record(published, metric)}
        for ours, published in verdicts
    ]


def _record(result: ClaimResult, metric: Metric) -> dict[str, Any]:
    return {**asdict(result), "claim": format_claim(result, metric), "quote": result.claim.quote}
