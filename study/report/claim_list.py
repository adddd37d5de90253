"""Claims with their verdicts, as text, as Markdown, and as records."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from study.analysis.claim_tests import ClaimResult
from study.analysis.verdicts import ClaimVerdict
from study.report.paper_tables import for_markdown


def effect_text(judgement: ClaimResult) -> str:
    """Return the effect in percentage points with its interval; a dash where there is none."""
    if judgement.effect is None:
        return "-"
    if judgement.low is None or judgement.high is None:
        return f"{judgement.effect:+.2f}"
    return f"{judgement.effect:+.2f} [{judgement.low:.2f}, {judgement.high:.2f}]"


def p_text(p: float | None) -> str:
    """Return a p value as it is printed."""
    if p is None:
        return "-"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def details(judgement: ClaimResult) -> str:
    """Return by which test, and what else to know."""
    return "; ".join(part for part in (judgement.test, judgement.caveats) if part)


def to_lines(judged: Sequence[ClaimVerdict]) -> list[str]:
    """Return a line of plain text for each."""
    return [_line(claim, f"{claim.ours.verdict:<12}  {claim.ours.claim}") for claim in judged]


def to_markdown(judged: Sequence[ClaimVerdict]) -> str:
    """Return a list in Markdown."""
    lines = (_line(claim, f"**{claim.ours.verdict}**: {for_markdown(str(claim.ours.claim))}") for claim in judged)
    return "\n".join(f"- {line}" for line in lines)


def _line(claim: ClaimVerdict, opening: str) -> str:
    """Return verdict and claim, and by which numbers."""
    ours, published = claim
    numbers = [] if ours.effect is None else [f"{effect_text(ours)} points, p {p_text(ours.p_holm)}"]
    theirs = [] if published is None else [f"verdict recomputed from published numbers: {published.verdict}"]
    return "; ".join(part for part in (opening, *numbers, details(ours), *theirs) if part)


def to_records(judged: Sequence[ClaimVerdict]) -> list[dict[str, Any]]:
    """Return plain values, as JSON takes them."""
    return [
        {**_record(ours), "published": None if published is None else _record(published)} for ours, published in judged
    ]


def _record(judgement: ClaimResult) -> dict[str, Any]:
    return {**asdict(judgement), "claim": str(judgement.claim), "quote": judgement.claim.quote}
