"""Claims with their verdicts, as text, Markdown or records."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from study.analysis.claim_tests import ClaimResult
from study.analysis.verdicts import ClaimVerdict
from study.report.table_markup import escape_markdown


def format_effect(result: ClaimResult) -> str:
    """Return the effect in percentage points with its interval; a dash where there is none."""
    if result.effect is None:
        return "-"
    if result.low is None or result.high is None:
        return f"{result.effect:+.2f}"
    return f"{result.effect:+.2f} [{result.low:.2f}, {result.high:.2f}]"


def format_p(p: float | None) -> str:
    """Return a p value with three decimals; a dash where there is none."""
    if p is None:
        return "-"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def format_test(result: ClaimResult) -> str:
    """Return the statistical test, with what limits it."""
    return "; ".join(part for part in (result.test, result.caveats) if part)


def to_lines(verdicts: Sequence[ClaimVerdict]) -> list[str]:
    """Return a line of plain text per claim."""
    return [_line(each, f"{each.ours.verdict:<12}  {each.ours.claim}") for each in verdicts]


def to_markdown(verdicts: Sequence[ClaimVerdict]) -> str:
    """Return a Markdown list."""
    lines = (_line(each, f"**{each.ours.verdict}**: {escape_markdown(str(each.ours.claim))}") for each in verdicts)
    return "\n".join(f"- {line}" for line in lines)


def _line(verdict: ClaimVerdict, opening: str) -> str:
    ours, published = verdict
    numbers = [] if ours.effect is None else [f"{format_effect(ours)} pp, p {format_p(ours.p_holm)}"]
    theirs = [] if published is None else [f"verdict recomputed from published numbers: {published.verdict}"]
    return "; ".join(part for part in (opening, *numbers, format_test(ours), *theirs) if part)


def to_records(verdicts: Sequence[ClaimVerdict]) -> list[dict[str, Any]]:
    """Return plain values for JSON."""
    return [
        {**_record(ours), "published": None if published is None else _record(published)}
        for ours, published in verdicts
    ]


def _record(result: ClaimResult) -> dict[str, Any]:
    return {**asdict(result), "claim": str(result.claim), "quote": result.claim.quote}
