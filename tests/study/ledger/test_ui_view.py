"""The view of a study in MLflow's UI; by command, what a browser shows of it."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient

import search_spaces
from benchmarks.report import write_study
from study import api
from study.ledger.database import tracking_uri
from study.ledger.ledger import Ledger
from study.ledger.ui_view import SHARED_VIEW_PREFIX, study_view
from study.plan import Folders
from tests.browser import launch_browser
from tests.command_line import command_of, eventually_get


def test_the_view_of_a_study_is_kept_in_the_experiment_under_the_key_of_its_address(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "mlruns")
    [space] = api.load_studies("resolution", scale="nano")
    path = api.ui_path(ledger, space)
    key = path.partition("&viewStateShareKey=")[2]
    client = MlflowClient(tracking_uri(ledger.root))
    view = json.loads(client.get_experiment(ledger.runs.experiment_id).tags[f"{SHARED_VIEW_PREFIX}{key}"])
    assert "tags.`study.resolution` = 'yes'" in view["searchFilter"]
    assert "tags.`scale` = 'nano'" in view["searchFilter"]
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`test_accuracy`", False)
    assert view["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "cell.resolution"}]
    assert "params.`resolution`" in view["selectedColumns"]
    assert api.ui_path(ledger) == path.partition("&")[0]


def test_a_metric_that_is_minimized_is_sorted_upward() -> None:
    view = json.loads(study_view("a", "train_time_s", [], {})[1])
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`train_time_s`", True)
    assert view["selectedColumns"] == ["metrics.`train_time_s`"]


@pytest.mark.long
def test_a_browser_shows_cells_with_the_best_first(tmp_path: Path, cache_dir: Path, free_port: int) -> None:
    space = search_spaces.load("quickstart")
    plan, _ = write_study(space, space.seeds, Folders(store=tmp_path / "mlruns", data=tmp_path, cache=cache_dir))
    means: dict[str, list[float]] = {}
    for trial in plan.trials:
        assert trial.record is not None
        cell = trial.record.tags["cell.quickstart"]
        means.setdefault(cell, []).append(trial.record.metrics["test_accuracy"])
    process = subprocess.Popen(
        command_of("ui", "quickstart", "--store", str(tmp_path / "mlruns"), "--port", str(free_port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        env={**os.environ, "MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "COLUMNS": "200"},
    )
    assert process.stdout is not None
    try:
        address = next(line.split()[0] for line in process.stdout if line.startswith("http://"))
        with launch_browser() as browser:
            page = browser.new_page(viewport={"width": 1600, "height": 1200})
            eventually_get(address.partition("#")[0], process)
            page.goto(address, wait_until="commit")
            page.wait_for_selector("text=Group: ", timeout=120_000)
            shown = [text.removeprefix("Group: ") for text in page.locator("text=/^Group: /").all_inner_texts()]
            runs = page.locator("text=matching runs").inner_text()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
        process.stdout.close()
    assert shown == sorted(means, key=lambda cell: -sum(means[cell]))
    assert runs == "12 matching runs"
