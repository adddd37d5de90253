"""Section on methods of a report, for its templates: page, Markdown, LaTeX."""

from collections.abc import Sequence
from typing import Any

from study.analysis.verdicts import ClaimVerdict
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.checklist import Item, fill_checklist
from study.report.forecast_tables import format_seconds
from study.report.methods import Methods, collect_methods, format_span
from study.report.methods_text import methods_text
from study.report.settings import join
from study.report.table_markup import LATEX, escape_markdown


def methods_context(plan: Plan, ledger: Ledger, verdicts: Sequence[ClaimVerdict]) -> dict[str, Any]:
    """Return what the templates show of methods and checklist."""
    methods = collect_methods(plan, ledger)
    text, checklist = methods_text(methods), fill_checklist(methods, verdicts)
    latex = "\n".join(rf"\paragraph{{{heading}.}} {each.translate(LATEX)}" for heading, each in text.items())
    return {
        "methods": methods,
        "methods_line": summarize(methods),
        "methods_text": text,
        "methods_latex": latex,
        "methods_markdown": "\n\n".join(f"**{heading}.** {escape_markdown(each)}" for heading, each in text.items()),
        "checklist": checklist,
        "checklist_latex": checklist_latex(checklist),
        "checklist_markdown": checklist_markdown(checklist),
        "latex": f"\n{latex}\n\n{checklist_latex(checklist)}\n",
        "methods_json": {"text": text, **methods.to_json(), "checklist": [each._asdict() for each in checklist]},
        "format_span": format_span,
        "format_seconds": format_seconds,
    }


def summarize(methods: Methods) -> str:
    """Return the methods in a line: data, models, cells and seeds, time, dates, commits."""
    data = join([f"{each.name} ({format_span(each.num_train)} training images)" for each in methods.datasets], "and")
    seconds = sum(each.seconds for each in methods.times)
    devices = dict.fromkeys(each.device for each in methods.times if each.device)
    time = [f"{format_seconds(seconds)} on {join([*devices], 'and')}"] if devices else []
    dates = sorted({each.date for each in methods.launches})
    when = [] if not dates else [dates[0]] if len(dates) == 1 else [f"{dates[0]} to {dates[-1]}"]
    commits = dict.fromkeys(each.commit[:8] for each in methods.launches if each.commit)
    code = [f"commit {join([*commits], 'and')}"] if commits else []
    size = f"{methods.num_cells} cells x {len(methods.seeds)} seeds"
    return "; ".join([data, join([each.name for each in methods.models], "and"), size, *time, *when, *code])


def checklist_markdown(items: Sequence[Item]) -> str:
    """Return the checklist as a Markdown list."""
    return "\n".join(
        f"{number}. **{each.topic}.** {each.question} *{each.answer}.* {escape_markdown(each.reason)}"
        for number, each in enumerate(items, start=1)
    )


def checklist_latex(items: Sequence[Item]) -> str:
    """Return the checklist as a LaTeX list that needs no package."""
    lines = [
        rf"\item \textbf{{{each.topic}.}} {each.question.translate(LATEX)} \emph{{{each.answer}.}} "
        f"{each.reason.translate(LATEX)}"
        for each in items
    ]
    return "\n".join([r"\begin{enumerate}", *lines, r"\end{enumerate}"])
