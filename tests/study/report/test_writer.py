"""Files of reports against the trials that went in; the page read as text or opened in a browser."""

import base64
import gzip
import html
import json
import math
import platform
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import timm
import torch
from mlflow import MlflowClient
from playwright.sync_api import Browser
from plotly.offline import get_plotlyjs

import search_spaces
from revit.datasets.registry import DATASETS
from revit.identity import TRAINING_VERSION
from search_spaces.framework.search import Search
from study.analysis.intervals import INTERVALS_NOTE
from study.ledger.ledger import Ledger
from study.plan import Folders, Plan
from study.planning import make_plan
from study.report.figures import draw_figures
from study.report.report_folder import REPORT, ReportKeptError
from study.report.searches import describe_search
from study.report.table_markup import LATEX, LATEX_VERBATIM
from study.report.writer import write_index
from tests.study.report.small_study import COMMAND, study_of, write
from tests.study.searched_study import SPACE as SEARCHED
from tests.study.searched_study import at_best_lr, make_planner, searched_plan

OVERFLOW = "(box => box.scrollWidth - box.clientWidth)"
UNFOLD = "all => { for (const each of all) each.open = true; }"
MAX_PAGE_BYTES = 5_000_000
TEXTS = ".gtitle, .xtick text, .ytick text, .xtitle, .ytitle, .legendtext, .annotation-text"


def test_all_files_are_written_and_attached_to_the_launch(finished: tuple[Plan, Ledger], folder: Path) -> None:
    _, ledger = finished
    names = {path.name for path in folder.iterdir()}
    numbers = {"report.json", "claims.json", "cells.csv", "trials.parquet"}
    assert names == {"report.html", "tables.md", "tables.tex", "figures", "registration", *numbers}
    client = MlflowClient(ledger.uri)
    [launch] = client.search_runs(["1"], "tags.kind = 'launch'")
    attached = client.list_artifacts(launch.info.run_id, "report")
    assert {Path(each.path).name for each in attached} == names - {"registration"}
    attached = client.list_artifacts(launch.info.run_id, "report/figures")
    assert {Path(each.path).name for each in attached} == {path.name for path in (folder / "figures").iterdir()}


def test_the_page_says_that_claims_were_registered_before_any_result(
    finished: tuple[Plan, Ledger], folder: Path
) -> None:
    plan, ledger = finished
    page = (folder / "report.html").read_text()
    assert page.count("registered before all ") == len(plan.space.claims) == 2
    assert "Deviations from what was registered: none" in page
    [stored] = ledger.registrations.read(plan.space.tags)
    assert {trial.record.tags["registration"] for trial in plan.trials} == {stored.digest}
    assert stored.start_s <= min(trial.record.start_s for trial in plan.trials)
    assert (folder / "registration" / "record.json").read_text() == stored.text


def test_every_number_in_the_tables_is_in_cells_csv(folder: Path) -> None:
    cells = pd.read_csv(folder / "cells.csv")
    assert len(cells) == 6
    for name in ("report.html", "tables.md", "tables.tex"):
        text = (folder / name).read_text()
        for cell in cells.itertuples():
            mean, interval = f"{100 * cell.mean:.2f}", f"[{100 * cell.low:.2f}, {100 * cell.high:.2f}]"
            interval = "needs 3 seeds" if math.isnan(cell.low) else interval
            parts = (re.escape(part.translate(LATEX) if name == "tables.tex" else part) for part in (mean, interval))
            assert re.search(r"( \(best\))?(\n|<br>| \\\\ )".join(parts), text)
        assert text.count("n = 2 seeds in each cell") == 1
    trials = pd.read_parquet(folder / "trials.parquet")
    by_cell = trials.groupby(["resolution", "model.pos_embed"])["test_accuracy"].mean()
    for cell in cells.to_dict("records"):
        assert by_cell[cell["resolution"], cell["model.pos_embed"]] == pytest.approx(cell["mean"])


def test_every_table_has_its_setup_and_command_below(folder: Path) -> None:
    page, markdown, latex = ((folder / name).read_text() for name in ("report.html", "tables.md", "tables.tex"))
    setup = {
        "seeds": "0, 1",
        "steps": "10",
        "device": "cpu",
        "torch": torch.__version__,
        "test images": "359",
        "training-code version": str(TRAINING_VERSION),
        "written with": f"Python {platform.python_version()}, timm {timm.__version__}",
    }
    for name, value in setup.items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in page
        assert f"- {name}: {value}\n" in markdown
        assert f"{name}: {value.translate(LATEX)}" in latex.split(r"\end{tabular}")[-1]
    assert f"<pre>{COMMAND}</pre>" in page
    assert f"- command: `{COMMAND}`\n" in markdown
    assert rf"command: \texttt{{{COMMAND.translate(LATEX_VERBATIM)}}}" in latex


def test_a_paper_study_shows_recipe_scale_and_proxies(tmp_path: Path, cache_dir: Path) -> None:
    folders = Folders(store=tmp_path / "mlruns", data=tmp_path, cache=cache_dir)
    plan = make_plan(search_spaces.load("pos_embed").variant(scale="nano", recipe="authors"), (0,), folders, {})
    write(plan, Ledger(folders.store), tmp_path / "reports")
    for name in ("report.html", "tables.md", "tables.tex"):
        text = html.unescape((tmp_path / "reports" / name).read_text())
        for caveat in (
            "it is not evidence for or against any published claim",
            "mnist_5k is a proxy for cifar10: 5,000 handwritten digits",
            f"dataset mnist_5k: {DATASETS['mnist_5k'].caveat}",
        ):
            assert (caveat.translate(LATEX) if name == "tables.tex" else caveat) in text
        if name != "tables.tex":
            assert "by Seonjin Hwang, Jewoo Kwak and Jiwon Park" in text
            assert "https://github.com/passiona2z/RE_ViT" in text
        if name == "report.html":
            assert "a standard deviation of 1 pp is assumed" in " ".join(text.split())
        assert re.search("recipe(: |</dt><dd>)authors", text)
        assert re.search("scale(: |</dt><dd>)nano", text)


def test_a_report_of_an_empty_store_does_not_replace_one_with_results(
    finished: tuple[Plan, Ledger], tmp_path: Path
) -> None:
    plan, ledger = finished
    write(plan, ledger, tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(ReportKeptError, match="keeps its report, of 12 results: this store has 0 of them"):
        write(plan.with_records({}), ledger, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before


def test_the_index_links_every_report_and_shows_its_verdicts(tmp_path: Path) -> None:
    claim = {"verdict": "supported", "claim": "<b> is better"}
    for name, claims in (("one", [claim]), ("other", [])):
        (tmp_path / name).mkdir()
        answer = (
            {"answer": {"sentences": ["It does.", "Yes."], "details": []}} if claims else {}
        )  # as in an earlier report
        summary = {"question": f"{name} & all?", "num_trials": 4, "num_finished": 3, "claims": claims, **answer}
        (tmp_path / name / REPORT).write_text(json.dumps(summary))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / REPORT).write_text("{")
    page = write_index(tmp_path).read_text()
    assert [f'href="{name}/report.html"' in page for name in ("one", "other", "torn")] == [True, True, False]
    assert page.count("3 of 4") == 2
    assert "one &amp; all?" in page
    assert 'class="supported">supported</span>: &lt;b&gt; is better' in page
    assert 'class="supported">1 supported</span>' in page
    assert page.count("<div>It does. Yes.</div>") == 1


def test_the_page_needs_no_network_and_has_plotly_once(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    [packed] = re.findall('<script type="text/plain" id="plotly">(.*?)</script>', page)
    assert gzip.decompress(base64.b64decode(packed)).decode() == get_plotlyjs()
    assert len(page.encode()) < MAX_PAGE_BYTES
    outside_scripts = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src="|<link[^>]* href=")(?!data:)[^"#]', outside_scripts)


def test_every_table_explains_its_intervals(finished: tuple[Plan, Ledger], folder: Path) -> None:
    for name in ("report.html", "tables.md", "tables.tex"):
        text = html.unescape((folder / name).read_text())
        assert (INTERVALS_NOTE.translate(LATEX) if name == "tables.tex" else INTERVALS_NOTE) in text
    metas = [figure.layout.meta for figure in draw_figures(study_of(*finished))]
    [caption] = [meta["caption"] for meta in metas if meta["title"].startswith("Test accuracy by")]
    assert "(n = 2)" in caption


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
    assert draw_figures(study_of(nothing, ledger)) == []
    write(nothing, ledger, tmp_path / "looks")
    page = (tmp_path / "looks" / "report.html").read_text()
    assert page.count("2 not run") == 6
    assert "Run the missing trials with:" in page
    assert page.count('class="inconclusive"') >= 2


@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_draws_every_figure_without_errors_or_requests(folder: Path, browser: Browser, width: int) -> None:
    errors: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((folder / "report.html").as_uri())
    num_figures = page.locator("figure").count()
    page.wait_for_function("window.Plotly")
    page.locator("details").evaluate_all(UNFOLD)
    page.wait_for_function("!document.querySelector('figure:not(:has(.main-svg))')")
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
        assert re.search(rf"{100 * cell.mean:.2f}( \(best\))?\n", table)


@pytest.mark.parametrize(("first", "then"), [("light", "dark"), ("dark", "light")])
def test_text_of_figures_is_readable_in_both_color_schemes_and_after_a_switch(
    folder: Path, browser: Browser, first: str, then: str
) -> None:
    page = browser.new_page(color_scheme=first)
    page.goto((folder / "report.html").as_uri())
    page.wait_for_function("window.Plotly")
    page.locator("details").evaluate_all(UNFOLD)
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


def test_a_searched_study_has_a_section_before_anything_is_tested(
    tmp_path: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger]
) -> None:
    search = Search(sampler="random", num_trials=6, objectives=("accuracy", "train_time_s"))
    plan = searched_plan(make_planner(tmp_path, cache_dir, replace(SEARCHED, search=search)), at_best_lr(3e-3), 4)
    write(plan, new_ledger(tmp_path / "mlruns"), tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    section = page.partition('<h2 id="search">')[2].partition("<h2")[0]
    assert section.count("4 of 6: 4 finished, 2 to come") == 2
    assert all(sentence in html.unescape(section) for sentence in describe_search(plan))
    assert "<h3>Pareto fronts</h3>" in section
    assert len(list((tmp_path / "report" / "figures").glob("*search*.json"))) == 5
    for name in ("tables.md", "tables.tex"):
        assert "search at 4 of 6 points" in " ".join((tmp_path / "report" / name).read_text().split())
