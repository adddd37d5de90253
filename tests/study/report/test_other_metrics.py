"""Reports of studies about other metrics than accuracy: their words, units and directions in every file."""

import base64
import html
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.io
import pytest

import search_spaces
from benchmarks.report import write_study
from revit.config import FineTuneConfig
from revit.training.metrics import METRICS
from search_spaces.framework import Best, BetterThan, SearchSpace
from study.analysis.contrasts import estimate_contrast, group_by_point, weighted_cells
from study.analysis.intervals import LEVEL, intervals_note, median_variances
from study.analysis.measured import measure
from study.analysis.verdicts import trial_results
from study.ledger.ledger import Ledger
from study.plan import Folders, Plan
from study.report.finished_study import FinishedStudy
from study.report.paper_tables import paper_table
from study.report.terminal_tables import terminal_table
from tests.study.report.small_study import finish, write

SPACE = SearchSpace(
    name="other",
    question="Does another metric say the same?",
    base=FineTuneConfig(dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=32, steps=5),
    scientific={
        "resolution": (8, 12, 28),
        "model.pos_embed": ("learned", "none"),
        "schedule.name": ("cosine", "constant"),
    },
    columns=("resolution",),
    seeds=(0, 1),
    claims=(
        Best(axis="resolution", value=28, among=(8, 12, 28), quote=""),
        BetterThan(better={"resolution": 28}, worse={"resolution": 8}, at_least=0.5, quote=""),
    ),
)
UNITS = {"balanced_accuracy": "pp", "loss": "nats", "train_time_s": "s"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> tuple[Plan, Ledger]:
    root = tmp_path_factory.mktemp("metrics")
    return write_study(SPACE, SPACE.seeds, Folders(store=root / "mlruns", data=root, cache=cache_dir))


@pytest.fixture(scope="module", params=UNITS)
def written(
    request: pytest.FixtureRequest, finished: tuple[Plan, Ledger], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    plan, ledger = finished
    name = request.param
    about = replace(plan, space=replace(plan.space, metric=name))
    folder = tmp_path_factory.mktemp(name)
    write(measure(about, ledger.artifacts.read_predictions), ledger, folder)
    return name, folder


def test_every_text_is_about_the_metric(written: tuple[str, Path]) -> None:
    name, folder = written
    metric = METRICS[name]
    texts = {path.name: path.read_text() for path in folder.iterdir() if path.suffix in (".html", ".md", ".tex")}
    assert texts.keys() == {"report.html", "tables.md", "tables.tex"}
    for file, text in texts.items():
        plain = html.unescape(text).replace("\\%", "%")
        assert "test accuracy" not in plain.lower(), file
        assert intervals_note(metric) in plain
    page = html.unescape(texts["report.html"])
    assert f"{metric.heading}: mean and 95 % interval" in page.replace("Test ", "test ").replace("Training", "training")
    assert f"by at least 0.5 {UNITS[name]}" in page
    assert page.count(f'data-label="effect, {UNITS[name]}"') == 2


def test_figures_are_about_the_metric(written: tuple[str, Path]) -> None:
    name, folder = written
    metric = METRICS[name]
    figures = [plotly.io.read_json(path) for path in sorted((folder / "figures").glob("*.json"))]
    by_title = {figure.layout.meta["title"]: figure for figure in figures}
    along = by_title[f"{metric.name} by resolution".capitalize()]
    assert along.layout.yaxis.title.text == metric.heading
    means = pd.read_csv(folder / "cells.csv").query("`model.pos_embed` == 'learned' and `schedule.name` == 'cosine'")
    drawn = np.frombuffer(base64.b64decode(along.data[1].y["bdata"]), along.data[1].y["dtype"])
    assert drawn.tolist() == pytest.approx((metric.factor * means["mean"]).tolist())
    assert by_title["Main effects (marginal means)"].layout.xaxis.title.text == metric.heading
    assert f"Parallel coordinates: {metric.name}" in by_title
    assert (f"Training time and {metric.name}" in by_title) == (name != "train_time_s")


def test_data_name_metric_unit_and_direction(written: tuple[str, Path]) -> None:
    name, folder = written
    metric = METRICS[name]
    summary = json.loads((folder / "report.json").read_text())
    assert summary["metric"] == {"name": name, "unit": metric.unit, "direction": metric.direction}
    cells = pd.read_csv(folder / "cells.csv")
    assert set(cells["metric"]) == {name}
    trials = pd.read_parquet(folder / "trials.parquet")
    column = name if name in trials else f"test_{name}"
    assert trials.groupby(["resolution"])[column].mean().tolist() == pytest.approx(
        cells.groupby("resolution")["mean"].mean().tolist()
    )
    means = cells.groupby("resolution")["mean"].mean()
    gain = metric.factor * metric.sign * (means[28] - means[8])
    assert summary["claims"][1]["effect"] == pytest.approx(gain), "positive as claimed: better"


def test_terminal_and_paper_table_have_its_heading_and_digits() -> None:
    space = replace(SPACE, metric="peak_memory_bytes", columns=(), claims=())
    plan = finish(space, (0, 1, 2), [0.9] * 36)
    trials = [
        replace(trial, record=replace(trial.record, metrics={"peak_memory_bytes": 1.5e9 + number}))
        for number, trial in enumerate(plan.trials)
    ]
    plan = measure(replace(plan, trials=trials), None)
    table = terminal_table(plan)
    assert table.title == "other: peak memory, bytes"
    assert table.caption == intervals_note(METRICS["peak_memory_bytes"])
    assert table.rows[0][3] == "1,500,000,012"
    [lines] = paper_table(plan).iloc[0]
    assert lines[0].startswith("1,500,000,012 (best) [")
    assert paper_table(plan).columns.tolist() == ["peak memory, bytes"]


def test_the_best_cells_are_colored() -> None:
    """The cells with the lowest values are drawn, where less is better."""
    space = SearchSpace(
        name="many", question="?", base=SPACE.base, scientific={"optimizer.lr": tuple(0.1 * n for n in range(1, 10))},
        metric="train_time_s",
    )  # fmt: skip
    plan = finish(space, (0,), [0.9] * 9)
    trials = [
        replace(trial, record=replace(trial.record, metrics={"train_time_s": float(10 - number)}))
        for number, trial in enumerate(plan.trials)
    ]
    study = FinishedStudy(replace(plan, trials=trials), None, trials)
    assert next(iter(study.colors)) == "learning rate 0.9"
    assert "learning rate 0.1" not in study.colors


def test_published_numbers_are_not_shown_beside_another_metric() -> None:
    space = search_spaces.load("resolution")
    candidate = space.candidates((0,))[0]
    assert space.published(candidate)
    assert replace(space, metric="balanced_accuracy").published(candidate) == []


@pytest.fixture(scope="module")
def three_seeds(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> tuple[Plan, Ledger]:
    root = tmp_path_factory.mktemp("intervals")
    space = replace(SPACE, scientific={"resolution": (8, 28)}, columns=(), claims=(), seeds=(0, 1, 2))
    return write_study(space, space.seeds, Folders(store=root / "mlruns", data=root, cache=cache_dir))


@pytest.mark.parametrize("name", ["accuracy", "loss", "train_time_s"])
def test_the_interval_of_a_cell_is_the_same_in_every_table_and_in_claims(
    three_seeds: tuple[Plan, Ledger], name: str, tmp_path: Path
) -> None:
    """A claim about one cell alone has its interval from `estimate_contrast`; tables have theirs from `cell_table`."""
    plan, ledger = three_seeds
    metric = METRICS[name]
    plan = measure(replace(plan, space=replace(plan.space, metric=name)), ledger.artifacts.read_predictions)
    write(plan, ledger, tmp_path)
    results = trial_results(plan, {}, ledger.artifacts.read_correct)
    by_cell = [[each.value for each in results if each.point["resolution"] == side] for side in (8, 28)]
    variances = median_variances((None, values) for values in by_cell)
    cells = pd.read_csv(tmp_path / "cells.csv")
    terminal = terminal_table(plan).rows
    texts = [(tmp_path / file).read_text() for file in ("report.html", "tables.md", "tables.tex")]
    for cell, row in zip(cells.to_dict("records"), terminal, strict=True):
        own = weighted_cells(((1.0, {"resolution": cell["resolution"]}),), group_by_point(results))
        estimate = estimate_contrast(own, variances, metric)
        limits = [estimate.effect + side * estimate.half_width(LEVEL / 2, side) for side in (-1, 1)]
        low, high = (min(max(limit, metric.limits[0]), metric.limits[1]) for limit in limits)
        assert (cell["low"], cell["high"]) == pytest.approx((low, high), rel=1e-12)
        assert f"{metric.format(low)} to {metric.format(high)}" in row
        shown = f"[{metric.format(low)}, {metric.format(high)}]"
        assert [shown in text.replace("{[}", "[") for text in texts] == [True, True, True]
