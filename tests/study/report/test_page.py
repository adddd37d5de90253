"""A report of a real small study, read back as text and in a browser."""

import html
import json
import math
import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
import timm
import torch
from mlflow import MlflowClient
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console

import search_spaces
from revit.config import FineTuneConfig
from revit.datasets.registry import DATASETS
from revit.identity import TRAINING_VERSION
from search_spaces.framework.claims import BetterThan, Trend
from search_spaces.framework.space import SearchSpace
from study.analysis.intervals import INTERVALS_NOTE
from study.analysis.results import reported_trials
from study.analysis.verdicts import ClaimVerdict, claim_frame, claim_verdicts
from study.execution.resources import ResourceRequest
from study.execution.runner import run_plan
from study.ledger.ledger import Ledger
from study.ledger.predictions import read_correct
from study.plan import Folders, Plan, Trial, make_plan
from study.report.claim_list import details, to_lines
from study.report.figures import FIGURES, draw_figures
from study.report.finished_study import FinishedStudy
from study.report.page import by_name, write_report
from study.report.paper_tables import LATEX, TYPED
from study.report.report_folder import TRIALS, ReportKeptError

NASTY = "<script>alert('x')</script> & <b>bold</b>"
SPACE = SearchSpace(
    name="looks",
    question=f"Is {NASTY} escaped?",
    base=FineTuneConfig(dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=10),
    scientific={"resolution": (8, 16, 28), "model.pos_embed": ("learned", "none")},
    columns=("resolution",),
    seeds=(0, 1),
    claims=(
        BetterThan(
            better={"resolution": 28, "model.pos_embed": "learned"},
            worse={"resolution": 28, "model.pos_embed": "none"},
            quote=NASTY,
        ),
        Trend(axis="resolution", direction="increasing", values=(8, 16, 28), quote="More is more."),
    ),
)
COMMAND = "python run_study.py run looks"


@pytest.fixture(scope="module")
def finished(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Ledger]:
    root = tmp_path_factory.mktemp("report")
    folders = Folders(store=root / "mlruns", data=root, cache=root / "cache")
    ledger = Ledger(folders.store)
    plan = make_plan(SPACE, SPACE.seeds, folders, ledger.trials())
    run_plan(plan, ledger, Console(quiet=True), ResourceRequest(), {})
    return plan.with_records(ledger.trials()), ledger


def verdicts_of(plan: Plan, ledger: Ledger) -> list[ClaimVerdict]:
    return claim_verdicts(plan, ledger.trials(), partial(read_correct, ledger))


def frame_of(trials: Sequence[Trial], ledger: Ledger) -> pd.DataFrame:
    return claim_frame(trials, ledger.trials(), partial(read_correct, ledger))


def write(plan: Plan, ledger: Ledger, folder: Path) -> None:
    write_report(plan, ledger, folder, COMMAND, verdicts_of(plan, ledger))


@pytest.fixture(scope="module")
def folder(finished: tuple[Plan, Ledger], tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan, ledger = finished
    folder = tmp_path_factory.mktemp("reports") / "looks"
    write(plan, ledger, folder)
    return folder


def test_it_writes_what_it_says_and_keeps_it_with_the_launch(finished: tuple[Plan, Ledger], folder: Path) -> None:
    _, ledger = finished
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.html", "report.json", "tables.md", "tables.tex", "cells.csv", "trials.parquet", "figures"}
    client = MlflowClient(ledger.uri)
    [launch] = client.search_runs(["1"], "tags.kind = 'launch'")
    kept = client.list_artifacts(launch.info.run_id, "report")
    assert {Path(each.path).name for each in kept} == names
    kept = client.list_artifacts(launch.info.run_id, "report/figures")
    assert {Path(each.path).name for each in kept} == {path.name for path in (folder / "figures").iterdir()}


def test_the_page_needs_no_network_and_has_plotly_once(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert page.count("plotly.js v") == 1
    assert len(page) < 10_000_000
    outside_scripts = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:)[^"#]', outside_scripts)


def test_every_number_of_the_tables_is_that_of_cells_csv(folder: Path) -> None:
    cells = pd.read_csv(folder / "cells.csv")
    assert len(cells) == 6
    for name in ("report.html", "tables.md", "tables.tex"):
        text = (folder / name).read_text()
        for cell in cells.itertuples():
            mean, interval = f"{100 * cell.mean:.2f}", f"[{100 * cell.low:.2f}, {100 * cell.high:.2f}]"
            interval = "needs 3 seeds" if math.isnan(cell.low) else interval
            parts = (re.escape(part.translate(LATEX) if name == "tables.tex" else part) for part in (mean, interval))
            assert re.search(r"(\n|<br>| \\\\ )".join([*parts, "n = 2"]), text)
    trials = pd.read_parquet(folder / "trials.parquet")
    by_cell = trials.groupby(["resolution", "model.pos_embed"])["test_accuracy"].mean()
    for cell in cells.to_dict("records"):
        assert by_cell[cell["resolution"], cell["model.pos_embed"]] == pytest.approx(cell["mean"])


def test_it_says_what_its_intervals_and_tests_are_over(finished: tuple[Plan, Ledger], folder: Path) -> None:
    for name in ("report.html", "tables.md", "tables.tex"):
        text = html.unescape((folder / name).read_text())
        assert (INTERVALS_NOTE.translate(LATEX) if name == "tables.tex" else INTERVALS_NOTE) in text
    page = " ".join((folder / "report.html").read_text().split())
    assert "only the test images vary" not in page
    [accuracy] = [
        figure for figure in draw_figures(*finished) if figure.layout.meta["title"].startswith("Test accuracy by")
    ]
    assert INTERVALS_NOTE in accuracy.layout.meta["caption"]


def test_below_each_table_stands_how_it_was_made_and_the_command(folder: Path) -> None:
    page, markdown, latex = ((folder / name).read_text() for name in ("report.html", "tables.md", "tables.tex"))
    made = {
        "seeds": "0, 1",
        "steps": "10",
        "device": "cpu",
        "torch": torch.__version__,
        "test images": "359",
        "training version": str(TRAINING_VERSION),
        "written with": f"Python {platform.python_version()}, timm {timm.__version__}",
    }
    for name, value in made.items():
        assert f"<dt>{name}</dt><dd>{value}</dd>" in page
        assert f"- {name}: {value}\n" in markdown
        assert f"{name}: {value.translate(LATEX)}" in latex.split(r"\end{tabular}")[-1]
    assert f"<pre>{COMMAND}</pre>" in page
    assert f"- command: `{COMMAND}`\n" in markdown
    assert rf"command: \texttt{{{COMMAND.translate(TYPED)}}}" in latex


def test_a_study_of_the_papers_says_its_recipe_its_scale_and_what_its_images_are(
    tmp_path: Path, cache_dir: Path
) -> None:
    folders = Folders(store=tmp_path / "mlruns", data=tmp_path, cache=cache_dir)
    plan = make_plan(search_spaces.load("pos_embed").variant(scale="nano", recipe="authors"), (0,), folders, {})
    write(plan, Ledger(folders.store), tmp_path / "reports")
    for name in ("report.html", "tables.md", "tables.tex"):
        text = html.unescape((tmp_path / "reports" / name).read_text())
        for said in (
            "it is not evidence for or against the paper's claims",
            "mnist_5k is a proxy for cifar10: 5,000 handwritten digits",
            f"dataset mnist_5k: {DATASETS['mnist_5k'].caveat}",
        ):
            assert (said.translate(LATEX) if name == "tables.tex" else said) in text
        if name != "tables.tex":
            assert "by Seonjin Hwang, Jewoo Kwak and Jiwon Park" in text
            assert "https://github.com/passiona2z/RE_ViT" in text
        if name == "report.html":
            assert "a standard deviation of 1 percentage point is assumed" in " ".join(text.split())
        assert re.search("recipe(: |</dt><dd>)authors", text)
        assert re.search("scale(: |</dt><dd>)nano", text)


def test_names_that_are_html_are_shown_as_they_are(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "<script>alert" not in page
    assert "<b>bold" not in page
    assert page.count("&lt;script&gt;alert") >= 2, "the question and the quote"
    markdown = (folder / "tables.md").read_text()
    assert "<script>" not in markdown
    assert "&lt;script&gt;alert" in markdown


def test_every_kind_of_figure_that_its_axes_allow_is_drawn(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    drawn = {make.__name__: len(make(FinishedStudy(plan, ledger, reported_trials(plan)))) for make in FIGURES}
    assert drawn == {
        "draw_accuracy": 1, "draw_learning_curves": 2, "draw_schedules": 0, "draw_authors_curves": 0, "draw_grid": 0,
        "draw_cost": 1, "draw_answers": 12, "draw_model_internals": 3, "draw_samples": 0,
    }  # fmt: skip


def test_without_the_images_the_figures_that_show_them_are_left_out(finished: tuple[Plan, Ledger]) -> None:
    """Confusion matrices, filters and similarities stay: classes and weights are the trials' own."""
    plan, ledger = finished
    absent = replace(plan, trials=[replace(trial, images=None, weights=None) for trial in plan.trials])
    here, there = ([figure.layout.meta["title"] for figure in draw_figures(each, ledger)] for each in (plan, absent))
    left_out = [title for title in here if title.startswith(("Most confident mistakes", "Attention"))]
    assert len(left_out) == 7
    assert there == [title for title in here if title not in left_out]


def test_every_figure_of_the_page_is_a_file_that_plotly_opens(finished: tuple[Plan, Ledger], folder: Path) -> None:
    drawn = draw_figures(*finished)
    page = (folder / "report.html").read_text()
    ids = re.findall('<figure id="(.*?)">', page)
    assert len(ids) == len(drawn) == 19
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{name}.json" for name in ids}
    for name, figure in zip(ids, drawn, strict=True):
        assert plotly.io.read_json(folder / "figures" / f"{name}.json") == figure
    assert "most-confident-mistakes-resolution-8-pos-embed-none" in ids


def test_figures_of_an_earlier_report_go(finished: tuple[Plan, Ledger], tmp_path: Path) -> None:
    plan, ledger = finished
    write(plan, ledger, tmp_path)
    assert (tmp_path / "figures" / "training-loss-during-training.json").exists()
    (tmp_path / TRIALS).unlink()
    write(plan.with_records({}), ledger, tmp_path)
    assert list((tmp_path / "figures").iterdir()) == []


def test_a_report_of_an_empty_store_takes_no_good_ones_place(finished: tuple[Plan, Ledger], tmp_path: Path) -> None:
    plan, ledger = finished
    write(plan, ledger, tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(ReportKeptError, match="keeps its report, of 12 results: this store has 0 of them"):
        write(plan.with_records({}), ledger, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before


def test_whatever_cells_are_called_the_names_of_files_are_safe_and_differ() -> None:
    titles = ["Of ../up/a", "Of C:\\up", "Of UP A", "Of up a 2", "Of 猫", "Of 犬", f"Of {'long ' * 99}"]
    names = list(by_name(go.Figure(layout_meta={"title": title}) for title in titles))
    assert names[:-1] == ["of-up-a", "of-c-up", "of-up-a-2", "of-up-a-2-2", "of", "of-2"]
    assert re.fullmatch("of(-long)+(-lo)?", names[-1])
    assert len(names[-1]) <= 100


def test_a_study_of_ones_own_has_no_column_of_the_papers(folder: Path) -> None:
    page = html.unescape((folder / "report.html").read_text())
    assert page.count('data-label="effect, points"') == 2
    assert "the paper" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL).lower()


def test_verdicts_stand_in_the_terminal_in_markdown_and_as_json_too(
    finished: tuple[Plan, Ledger], folder: Path
) -> None:
    plan, ledger = finished
    judged = verdicts_of(plan, ledger)
    lines, markdown = to_lines(judged), (folder / "tables.md").read_text()
    summary = json.loads((folder / "report.json").read_text())
    assert (summary["study"], summary["num_trials"], summary["num_finished"]) == ("looks", 12, 12)
    assert [claim["quote"] for claim in summary["claims"]] == [NASTY, "More is more."]
    for line, claim, (ours, _) in zip(lines, summary["claims"], judged, strict=True):
        assert line.startswith(ours.verdict)
        assert f"{ours.effect:+.2f} [{ours.low:.2f}, {ours.high:.2f}] points" in line
        assert f"- **{ours.verdict}**: {ours.claim}; {ours.effect:+.2f} [" in markdown
        assert (claim["verdict"], claim["effect"], claim["published"]) == (ours.verdict, ours.effect, None)


def test_claims_see_the_answers_to_each_image(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    frame = frame_of(reported_trials(plan), ledger)
    assert len(frame) == 12
    for row in frame.itertuples():
        assert len(row.correct) == row.num_test == 359
        assert row.correct.mean() == pytest.approx(row.test_accuracy)
        assert row.prior_variance is None, "two seeds show their own"


def test_one_seed_is_judged_by_what_the_ledger_knows_of_the_spread(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    frame = frame_of([trial for trial in reported_trials(plan) if trial.candidate.config.seed == 0], ledger)
    by_cell = frame_of(reported_trials(plan), ledger).groupby(["resolution", "model.pos_embed"])["test_accuracy"]
    assert len(frame) == 6
    [prior] = set(frame["prior_variance"])
    assert prior == pytest.approx((by_cell.var().mean(), 6))


@pytest.mark.parametrize(
    ("scale", "reason"), [("nano", "of the paper's scale: not comparable"), ("paper", "no result for dataset cifar10")]
)
def test_published_accuracies_are_to_be_matched_at_the_papers_scale_only(
    tmp_path: Path, scale: str, reason: str
) -> None:
    nothing = Plan(space=search_spaces.load("replication").variant(scale=scale), trials=())
    [(ours, published)] = verdicts_of(nothing, Ledger(tmp_path / "mlruns"))
    assert ours.verdict == "inconclusive"
    assert details(ours).endswith(reason)
    assert published is not None


def test_claims_are_said_in_the_terms_of_the_tables(tmp_path: Path) -> None:
    nothing = Plan(space=search_spaces.load("resolution").variant(scale="nano"), trials=())
    lines = to_lines(verdicts_of(nothing, Ledger(tmp_path / "mlruns")))
    told = "resolution 28 is the best of 64, 48, 28, 16, 8, where dataset photos"
    assert (
        f"{told}; no result for dataset photos, resolution 28; verdict recomputed from published numbers: " in lines[0]
    )


def test_a_study_of_which_nothing_has_finished_says_what_is_missing(
    finished: tuple[Plan, Ledger], tmp_path: Path
) -> None:
    plan, ledger = finished
    nothing = plan.with_records({})
    assert draw_figures(nothing, ledger) == []
    write(nothing, ledger, tmp_path / "looks")
    page = (tmp_path / "looks" / "report.html").read_text()
    assert page.count("missing: 2 not run") == 6
    assert "What fills the missing cells" in page
    assert page.count('class="inconclusive"') >= 2


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine: the page is not opened")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [390, 1400])
def test_in_a_browser_every_figure_is_drawn_without_errors_or_requests(
    folder: Path, browser: Browser, width: int
) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((folder / "report.html").as_uri())
    page.wait_for_function("document.querySelectorAll('figure .main-svg').length > 0")
    num_figures = page.locator("figure").count()
    drawn = page.locator("figure:has(.main-svg)").count()
    overflow = page.evaluate(f"{OVERFLOW}(document.documentElement)")
    tables = page.locator(".wide").evaluate_all(f"all => all.map({OVERFLOW})")
    claims = page.locator(".wide:has(.claims)").evaluate(OVERFLOW)
    table = page.locator("table.answer").inner_text()
    page.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert drawn == num_figures > 10
    assert overflow <= 0, "the page itself never scrolls sideways"
    assert claims <= 0
    assert width == 390 or max(tables) <= 0
    for cell in pd.read_csv(folder / "cells.csv").itertuples():
        assert f"{100 * cell.mean:.2f}\n" in table


OVERFLOW = "(box => box.scrollWidth - box.clientWidth)"
TEXTS = ".gtitle, .xtick text, .ytick text, .xtitle, .ytitle, .legendtext, .annotation-text"


@pytest.mark.parametrize(("first", "then"), [("light", "dark"), ("dark", "light")])
def test_the_text_of_figures_can_be_read_in_both_colour_schemes_and_when_they_change(
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
    """Of two colors, 1 to 21, as WCAG 2 defines it."""
    darker, lighter = sorted([luminance(one), luminance(other)])
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """Of `rgb(r, g, b)`, 0 to 1."""
    shares = [int(part) / 255 for part in re.findall(r"\d+", color)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_papers_studies_have_claims_that_are_the_papers_sentences() -> None:
    text = json.dumps([claim.quote for name in search_spaces.names() for claim in search_spaces.load(name).claims])
    assert "384 outperformed 512" in text
