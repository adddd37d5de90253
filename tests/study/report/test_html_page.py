"""The page of a report, read as text or opened in a browser."""

import html
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, sync_playwright

from study.analysis.intervals import INTERVALS_NOTE
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.figures import draw_figures
from study.report.table_markup import LATEX
from tests.study.report.small_study import write

OVERFLOW = "(box => box.scrollWidth - box.clientWidth)"
TEXTS = ".gtitle, .xtick text, .ytick text, .xtitle, .ytitle, .legendtext, .annotation-text"


def test_the_page_needs_no_network_and_has_plotly_once(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert page.count("plotly.js v") == 1
    assert len(page) < 10_000_000
    outside_scripts = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:)[^"#]', outside_scripts)


def test_every_table_explains_its_intervals(finished: tuple[Plan, Ledger], folder: Path) -> None:
    for name in ("report.html", "tables.md", "tables.tex"):
        text = html.unescape((folder / name).read_text())
        assert (INTERVALS_NOTE.translate(LATEX) if name == "tables.tex" else INTERVALS_NOTE) in text
    metas = [figure.layout.meta for figure in draw_figures(*finished)]
    [caption] = [meta["caption"] for meta in metas if meta["title"].startswith("Test accuracy by")]
    assert INTERVALS_NOTE in caption


def test_html_in_names_is_escaped(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "<script>alert" not in page
    assert "<b>bold" not in page
    assert page.count("&lt;script&gt;alert") >= 2, "the question and the quote"
    markdown = (folder / "tables.md").read_text()
    assert "<script>" not in markdown
    assert "&lt;script&gt;alert" in markdown


def test_a_custom_study_has_no_column_of_published_verdicts(folder: Path) -> None:
    page = html.unescape((folder / "report.html").read_text())
    assert page.count('data-label="effect, pp"') == 2
    assert "the paper" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL).lower()


def test_a_study_without_results_shows_the_status_of_its_trials(finished: tuple[Plan, Ledger], tmp_path: Path) -> None:
    plan, ledger = finished
    nothing = plan.with_records({})
    assert draw_figures(nothing, ledger) == []
    write(nothing, ledger, tmp_path / "looks")
    page = (tmp_path / "looks" / "report.html").read_text()
    assert page.count("2 not run") == 6
    assert "Run the missing trials with:" in page
    assert page.count('class="inconclusive"') >= 2


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_draws_every_figure_without_errors_or_requests(folder: Path, browser: Browser, width: int) -> None:
    errors: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((folder / "report.html").as_uri())
    page.wait_for_function("document.querySelectorAll('figure .main-svg').length > 0")
    num_figures = page.locator("figure").count()
    drawn = page.locator("figure:has(.main-svg)").count()
    overflow = page.evaluate(f"{OVERFLOW}(document.documentElement)")
    tables = page.locator(".wide").evaluate_all(f"all => all.map({OVERFLOW})")
    claims = page.locator(".wide:has(.claims)").evaluate(OVERFLOW)
    table = page.locator("table.results").inner_text()
    page.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert drawn == num_figures > 10
    assert overflow <= 0, "the page does not scroll sideways"
    assert claims <= 0
    assert width == 390 or max(tables) <= 0
    for cell in pd.read_csv(folder / "cells.csv").itertuples():
        assert f"{100 * cell.mean:.2f}\n" in table


@pytest.mark.parametrize(("first", "then"), [("light", "dark"), ("dark", "light")])
def test_text_of_figures_is_readable_in_both_color_schemes_and_after_a_switch(
    folder: Path, browser: Browser, first: str, then: str
) -> None:
    page = browser.new_page(color_scheme=first)
    page.goto((folder / "report.html").as_uri())
    for scheme in (first, then):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(500)
        fills = page.locator(TEXTS).evaluate_all("all => all.map(each => getComputedStyle(each).fill)")
        behind = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
        assert len(fills) > 100
        assert (luminance(behind) < 0.2) == (scheme == "dark")
        assert min(contrast(fill, behind) for fill in set(fills)) >= 4.5
    page.close()


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors, 1 to 21, as WCAG 2 defines it."""
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """Return the luminance of `rgb(r, g, b)`, 0 to 1."""
    shares = [int(part) / 255 for part in re.findall(r"\d+", color)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
