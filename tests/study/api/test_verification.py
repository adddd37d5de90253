"""study.api.verification; the command that calls it is tested in tests/study/cli/test_verifying.py."""

from pathlib import Path

from study import api
from study.plan import Folders
from tests.study.made_plans import plan_of


def test_a_study_without_trials_or_report_agrees(tmp_path: Path, folders: Folders) -> None:
    ledger = api.open_ledger(folders, create=True)
    plan = plan_of(folders)
    assert list(api.verify_study(plan, ledger, {}, api.read_history(plan, ledger, {}), tmp_path / "reports")) == []
