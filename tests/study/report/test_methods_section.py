"""Methods and checklist of a report: page, Markdown, LaTeX, JSON."""

import json
from pathlib import Path

from revit.datasets.registry import DATASETS
from study.report.checklist import Item
from study.report.methods_section import checklist_latex, checklist_markdown, summarize
from study.report.table_markup import LATEX
from tests.browser import launch_browser
from tests.study.report.methods_plans import BASE, methods_of, plan_of_configs
from tests.study.report.test_methods import launch, ran


def test_every_file_of_a_report_has_the_same_methods(folder: Path) -> None:
    facts = json.loads((folder / "report.json").read_text())["methods"]
    page, markdown, latex = ((folder / name).read_text() for name in ("report.html", "tables.md", "tables.tex"))
    for heading, text in facts["text"].items():
        assert f"**{heading}.** {text}" in markdown
        assert f"\\paragraph{{{heading}.}} {text.translate(LATEX)}" in latex
        assert f"<b>{heading}.</b>" in page
    assert len(facts["checklist"]) == 16
    assert facts["launches"][0]["run_id"] in page
    assert facts["times"][0]["seconds"] > 0
    assert DATASETS["digits"].caveat in page


def test_a_button_copies_what_it_says(folder: Path) -> None:
    facts = json.loads((folder / "report.json").read_text())["methods"]
    with launch_browser() as browser:
        page = browser.new_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
        page.goto((folder / "report.html").as_uri())
        page.locator("details.methods").evaluate_all("all => { for (const each of all) each.open = true; }")
        page.get_by_role("button", name="Copy methods as LaTeX").click()
        page.get_by_role("button", name="Copied").wait_for()
        methods = page.evaluate("navigator.clipboard.readText()")
        page.get_by_role("button", name="Copy checklist as Markdown").click()
        page.get_by_role("button", name="Copied").nth(1).wait_for()
        checklist = page.evaluate("navigator.clipboard.readText()")
    assert methods.startswith(r"\paragraph{Data.} " + facts["text"]["Data"].translate(LATEX)[:40])
    assert [line.split(".")[0] for line in checklist.splitlines()] == [str(number) for number in range(1, 17)]


def test_the_summary_has_data_models_cells_time_date_and_commit() -> None:
    plan = ran(plan_of_configs({"a": BASE}), "l")
    line = summarize(methods_of(plan, [launch("l", 0, **{"mlflow.source.git.commit": "0123456789"})]))
    assert line == "digits (1,294 training images); vit_nano; 1 cells x 1 seeds; 1970-01-01; commit 01234567"


def test_a_checklist_is_ready_to_paste() -> None:
    items = [Item("Data", "Is it there?", "yes", "50 % of a_b <c>")]
    assert checklist_markdown(items) == "1. **Data.** Is it there? *yes.* 50 % of a_b &lt;c&gt;"
    assert r"\item \textbf{Data.} Is it there? \emph{yes.} 50 \% of a\_b" in checklist_latex(items)
