"""Links to the curves of a cell: read by MLflow's own search; by command, clicked in a browser."""

import os
import signal
import subprocess
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Page

from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.curve_links import curve_links
from tests.browser import launch_browser
from tests.command_line import command_of, eventually_get
from tests.study.report.small_study import write

CELL, OTHER = "resolution=8 pos_embed=learned", "resolution=28 pos_embed=none"


def runs_by_cell(plan: Plan) -> dict[str, set[str]]:
    runs = defaultdict(set)
    for trial in plan.trials:
        cell = trial.candidate.cell
        assert trial.record is not None
        runs[f"resolution={cell['resolution']} pos_embed={cell['model.pos_embed']}"].add(trial.record.run_id)
    return runs


def test_a_link_finds_the_runs_of_its_cell_and_no_others(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    links = curve_links(plan, ledger)
    expected = runs_by_cell(plan)
    assert links.keys() == expected.keys()
    for cell, address in links.items():
        path, _, query = urlsplit(address).fragment.partition("?")
        view = {name: value for name, [value] in parse_qs(query).items()}
        assert (path, view["compareRunsMode"]) == (f"/experiments/{ledger.runs.experiment_id}/runs", "CHART")
        order = [f"{view['orderByKey']} {'ASC' if view['orderByAsc'] == 'true' else 'DESC'}"]
        found = MlflowClient(ledger.uri).search_runs([ledger.runs.experiment_id], view["searchFilter"], order_by=order)
        assert {run.info.run_id for run in found} == expected[cell]


def test_links_lead_to_the_server_of_the_store_or_where_ui_serves_a_folder(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    assert curve_links(plan, ledger)[CELL].startswith("http://127.0.0.1:5000/#/experiments/")
    server = object.__new__(Ledger)
    server.__dict__ = {**ledger.__dict__, "server": "https://host/mlflow"}
    assert curve_links(plan, server)[CELL].startswith("https://host/mlflow/#/experiments/")


def test_a_cell_without_a_run_has_no_link(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    trials = [trial if trial.candidate.config.resolution == 8 else replace(trial, record=None) for trial in plan.trials]
    assert len(curve_links(replace(plan, trials=trials), ledger)) == 2


def shown_curves(page: Page) -> tuple[str, set[str]]:
    """Return the number of runs that a page of MLflow says it shows, and their names at a chart of a curve."""
    chart = page.locator("text=/^grad_norm$/")
    chart.first.wait_for(timeout=120_000)
    page.wait_for_selector("text=matching runs", timeout=60_000)
    names = page.locator("a[href*='/runs/']").all_inner_texts()
    return page.locator("text=matching runs").inner_text(), set(names)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_click_shows_the_curves_of_exactly_that_cell(
    finished: tuple[Plan, Ledger], tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, ledger = finished
    monkeypatch.setattr("study.report.curve_links.UI_PORT", free_port)
    write(plan, ledger, tmp_path)
    client = MlflowClient(ledger.uri)
    names = {cell: {client.get_run(run_id).info.run_name for run_id in ids} for cell, ids in runs_by_cell(plan).items()}
    [launch] = client.search_runs([ledger.runs.experiment_id], "tags.kind = 'launch'")
    process = subprocess.Popen(
        command_of("ui", "--store", str(ledger.root), "--port", str(free_port)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )
    try:
        root = f"http://127.0.0.1:{free_port}/"
        eventually_get(root, process)
        with launch_browser() as browser:
            page = browser.new_page(viewport={"width": 1600, "height": 1200})
            page.goto((tmp_path / "report.html").as_uri())
            assert f"run_study.py ui serves the store at http://127.0.0.1:{free_port}." in page.inner_text(".curves")
            with page.expect_popup() as opened:
                page.click(f".curves a >> text='{CELL}'")
            from_file = shown_curves(opened.value)

            page.goto(f"{root}#/experiments/{ledger.runs.experiment_id}/runs/{launch.info.run_id}/artifacts/report")
            page.click("text=report.html", timeout=120_000)
            viewer = page.frame_locator("iframe.mlflow-html-iframe")
            assert "Ctrl" in viewer.locator(".curves").inner_text(timeout=60_000)
            with page.context.expect_page() as opened_by_viewer:
                viewer.locator(f".curves a >> text='{OTHER}'").click(modifiers=["Control"])
            from_viewer = shown_curves(opened_by_viewer.value)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
    assert from_file == ("2 matching runs", names[CELL])
    assert from_viewer == ("2 matching runs", names[OTHER])
