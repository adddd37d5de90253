"""A small study of six cells that is trained once, with its report."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from rich.console import Console

from study.execution.resources import ResourceRequest
from study.execution.runner import run_plans
from study.ledger.ledger import Ledger
from study.plan import Folders, Plan
from study.planning import make_plan
from tests.browser import launch_browser
from tests.conftest import single_slot
from tests.study.report.small_study import SPACE, write


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with launch_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def finished(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Ledger]:
    root = tmp_path_factory.mktemp("report")
    folders = Folders(store=root / "mlruns", data=root, cache=root / "cache")
    ledger = Ledger(folders.store)
    plan = make_plan(SPACE, SPACE.seeds, folders, ledger.trials())
    with single_slot():
        run_plans([plan], ledger, Console(quiet=True), ResourceRequest(), {})
    return plan.with_records(ledger.trials()), ledger


@pytest.fixture(scope="session")
def folder(finished: tuple[Plan, Ledger], tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan, ledger = finished
    folder = tmp_path_factory.mktemp("reports") / "looks"
    write(plan, ledger, folder)
    return folder
