"""Growth of a report with its trials, measured on the benchmark's study with few seeds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from benchmarks.report import MAX_BYTES, SPACE, write_study
from study.analysis.effects import study_effects
from study.analysis.verdicts import claim_verdicts
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan
from study.registration.plan_comparison import plan_history
from study.report.plots.style import MAX_COLORED
from study.report.writer import write_report

NUM_CELLS = len(SPACE.candidates((0,)))
LARGE = 1000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Folders:
    """A store with the whole study, two seeds per cell."""
    root = tmp_path_factory.mktemp("made_up")
    folders = Folders(store=root / "mlruns", data=root, cache=cache_dir)
    plan, _ = write_study(SPACE, (0, 1), folders)
    assert {trial.state for trial in plan.trials} == {TrialState.FINISHED}
    return folders


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    """Yield a list that gets every query that a database of this process executes."""
    queries: list[str] = []

    def count(*arguments: Any) -> None:
        if (statement := arguments[2]).startswith("SELECT"):  # MLflow's sessions begin with settings of SQLite
            queries.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield queries
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def report(folders: Folders, seeds: tuple[int, ...], to: Path) -> tuple[int, int]:
    """Return the queries of a report of these seeds, and its size in bytes."""
    with counted_queries() as queries:
        ledger = Ledger(folders.store)
        records = ledger.trials()
        plan = make_plan(SPACE, seeds, folders, records)
        judged = claim_verdicts(plan, records, ledger.artifacts.read_correct)
        effects = study_effects(plan, records, ledger.artifacts.read_correct)
        write_report(plan, ledger, to, "", judged, effects, plan_history(plan, ledger, records))
    return len(queries), sum(path.stat().st_size for path in to.rglob("*") if path.is_file())


def test_more_trials_add_no_queries_but_those_of_curves_and_few_bytes(folders: Folders, tmp_path: Path) -> None:
    queries, num_bytes = report(folders, (0,), tmp_path / "one")
    more_queries, more_bytes = report(folders, (0, 1), tmp_path / "two")
    curves = 2 * MAX_COLORED
    assert more_queries - queries == curves
    page = " ".join((tmp_path / "two" / "report.html").read_text().split())
    assert "for other seeds on the same test images, and do not generalize to new images" in page
    bytes_per_trial = (more_bytes - num_bytes) / NUM_CELLS
    assert num_bytes + bytes_per_trial * (LARGE - NUM_CELLS) < MAX_BYTES
