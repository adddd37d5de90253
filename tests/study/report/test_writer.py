"""Files of a report against the trials that went in."""

import html
import math
import platform
import re
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest
import timm
import torch
from mlflow import MlflowClient

import search_spaces
from revit.datasets.registry import DATASETS
from revit.identity import TRAINING_VERSION
from study.ledger.ledger import Ledger
from study.plan import Folders, Plan, make_plan
from study.report.figures import draw_figures
from study.report.report_folder import TRIALS, ReportKeptError
from study.report.table_markup import LATEX, LATEX_VERBATIM
from study.report.writer import name_figures
from tests.study.report.small_study import COMMAND, write


def test_all_files_are_written_and_attached_to_the_launch(finished: tuple[Plan, Ledger], folder: Path) -> None:
    _, ledger = finished
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.html", "report.json", "tables.md", "tables.tex", "cells.csv", "trials.parquet", "figures"}
    client = MlflowClient(ledger.uri)
    [launch] = client.search_runs(["1"], "tags.kind = 'launch'")
    attached = client.list_artifacts(launch.info.run_id, "report")
    assert {Path(each.path).name for each in attached} == names
    attached = client.list_artifacts(launch.info.run_id, "report/figures")
    assert {Path(each.path).name for each in attached} == {path.name for path in (folder / "figures").iterdir()}


def test_every_number_in_the_tables_is_in_cells_csv(folder: Path) -> None:
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
            "it is not evidence for or against the paper's claims",
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


def test_every_figure_of_the_page_is_a_file_that_plotly_opens(finished: tuple[Plan, Ledger], folder: Path) -> None:
    drawn = draw_figures(*finished)
    page = (folder / "report.html").read_text()
    ids = re.findall('<figure id="(.*?)">', page)
    assert len(ids) == len(drawn) == 19
    assert {path.name for path in (folder / "figures").iterdir()} == {f"{name}.json" for name in ids}
    for name, figure in zip(ids, drawn, strict=True):
        assert plotly.io.read_json(folder / "figures" / f"{name}.json") == figure
    assert "08-most-confident-mistakes-resolution-8-pos-embed-none" in ids


def test_figures_of_an_earlier_report_are_deleted(finished: tuple[Plan, Ledger], tmp_path: Path) -> None:
    plan, ledger = finished
    write(plan, ledger, tmp_path)
    assert (tmp_path / "figures" / "03-training-loss-during-training.json").exists()
    (tmp_path / TRIALS).unlink()
    write(plan.with_records({}), ledger, tmp_path)
    assert list((tmp_path / "figures").iterdir()) == []


def test_a_report_of_an_empty_store_does_not_replace_one_with_results(
    finished: tuple[Plan, Ledger], tmp_path: Path
) -> None:
    plan, ledger = finished
    write(plan, ledger, tmp_path)
    before = (tmp_path / "report.html").read_bytes()
    with pytest.raises(ReportKeptError, match="keeps its report, of 12 results: this store has 0 of them"):
        write(plan.with_records({}), ledger, tmp_path)
    assert (tmp_path / "report.html").read_bytes() == before


def test_file_names_of_figures_are_safe_and_differ() -> None:
    titles = ["Of ../up/a", "Of C:\\up", "Of UP A", "Of 猫", f"Of {'long ' * 99}"]
    names = list(name_figures([go.Figure(layout_meta={"title": title}) for title in titles]))
    assert names[:-1] == ["01-of-up-a", "02-of-c-up", "03-of-up-a", "04-of"]
    assert re.fullmatch("05-of(-long)+(-lo)?", names[-1])
    assert len(names[-1]) <= 100
