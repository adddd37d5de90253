"""Claims with their verdicts, as text, Markdown or records."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from revit.training.metrics import Metric, find_metric
from search_spaces.framework.claim_cells import Words
from search_spaces.framework.claims import BetterThan
from search_spaces.framework.sentences import Sentence, read_sentences
from search_spaces.framework.space import SearchSpace
from study.analysis.claim_samples import metric_of
from study.analysis.claim_tests import ASSUMED_SEED_SD, ClaimResult
from study.analysis.verdicts import ClaimVerdict
from study.report.axis_words import axis_title, name_of_value, value_of_axis
from study.report.table_markup import escape_markdown

PAIRING = {
    "accuracy": "; where all were tested on\nthe same images, they are compared image by image.",
    "bootstrap": "; the same test images\nare resampled in all trials of a dataset (bootstrap).",
    "": ".",
}
"""Comparison of trials in claims, by the source of the interval over images."""


def claims_context(space: SearchSpace, verdicts: Sequence[ClaimVerdict]) -> dict[str, Any]:
    """Return what the templates show of claims."""
    metric = find_metric(space.metric)
    return {
        "verdicts": verdicts,
        "markdown_claims": to_markdown(verdicts, metric),
        "format_claim": format_claim,
        "format_effect": format_effect,
        "format_p": format_p,
        "format_test": format_test,
        "untested": untested_sentences(space),
        "measure": metric,
        "is_published": space.paper is not None and space.metric == "accuracy",
        "assumed_sd": f"{100 * ASSUMED_SEED_SD:g}",
        "unit": "percentage points (pp)" if metric.difference_unit == "pp" else metric.difference_unit,
        "pairing": PAIRING["accuracy" if metric.is_accuracy else "bootstrap" if metric.of_predictions else ""],
    }


def untested_sentences(space: SearchSpace) -> list[Sentence]:
    """Return the paper's conclusions from a study's table that no claim tests, with the reasons."""
    sentences = () if space.paper is None else read_sentences(space.paper)
    return [sentence for sentence in sentences if sentence.table == space.table and sentence.reason]


def format_claim(result: ClaimResult, metric: Metric) -> str:
    """Return the sentence of a claim, about its metric.

    Args:
        metric: of the study.
    """
    own = metric_of(result.claim, metric)
    comparative = "higher" if own.direction == "maximize" else "lower"
    words = Words(
        metric=own.title,
        unit=own.difference_unit,
        comparative=comparative,
        axis=axis_title,
        value=value_of_axis,
        name=name_of_value,
    )
    return result.claim.describe(words)


def format_effect(result: ClaimResult, metric: Metric) -> str:
    """Return the effect with its interval; a dash where there is none.

    Its unit follows where it is another than that of the study's metric.
    """
    if result.effect is None:
        return "-"
    own = metric_of(result.claim, metric)
    unit = effect_unit(result, metric)
    behind = "" if unit == metric.difference_unit else f" {unit}"
    own = replace(own, decimals=2) if unit == "%" else own
    if result.low is None or result.high is None:
        return f"{own.format_effect(result.effect)}{behind}"
    low, high = (f"{limit:,.{own.decimals}f}" for limit in (result.low, result.high))
    return f"{own.format_effect(result.effect)} [{low}, {high}]{behind}"


def effect_unit(result: ClaimResult, metric: Metric) -> str:
    """Return the unit of an effect: of the claim's metric, or percent where it is relative."""
    is_relative = isinstance(result.claim, BetterThan) and result.claim.relative
    return "%" if is_relative else metric_of(result.claim, metric).difference_unit


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
    own_unit = effect_unit(ours, metric) != metric.difference_unit
    effect = format_effect(ours, metric) + ("" if own_unit else f" {metric.difference_unit}")
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
    return {
        **asdict(result),
        "claim": format_claim(result, metric),
        "quote": result.claim.quote,
        "unit": effect_unit(result, metric),
    }
