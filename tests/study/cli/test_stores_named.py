"""Commands that only read create no store; each says which one it uses."""

import sys
from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.cli import studies
from study.cli.main import main
from study.execution.runner import RunResult
from study.ledger.ledger import Ledger
from study.ledger.provenance import launch_tags
from study.ledger.records import TrialUpdate
from study.ledger.states import TrialState
from study.plan import Plan


def ended(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["run_study.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.parametrize("command", ["plan", "report", "doctor", "prune", "ui"])
def test_in_a_folder_without_a_store_none_is_made(
    command: str,
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REVIT_STORE", raising=False)
    monkeypatch.setenv("REVIT_CACHE_DIR", str(cache_dir))
    code = ended([command, *(["quickstart"] if command in ("plan", "report") else [])], monkeypatch)
    told = capsys.readouterr()
    assert str(tmp_path / "mlruns") in told.out + told.err
    assert (code == 2) == (command in ("report", "ui"))
    assert not list(tmp_path.iterdir())


def test_a_store_that_is_there_is_named(
    tmp_path: Path, cache_dir: Path, new_ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "mlruns"
    new_ledger(store)
    assert ended(["plan", "quickstart", "--store", str(store), "--cache-dir", str(cache_dir)], monkeypatch) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"store: {store}"


def test_several_studies_are_run_under_a_line_that_says_how_far_all_have_come(
    tmp_path: Path, cache_dir: Path, new_ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two studies share the trial at lr .1; the first ends with two of its three trials done."""
    new_ledger(tmp_path / "mlruns")
    base = FineTuneConfig(dataset="digits", steps=1)
    spaces = [
        SearchSpace(name=name, question="?", base=base, scientific={"optimizer.lr": rates}, seeds=(0,))
        for name, rates in (("one", (0.1, 0.2, 0.3)), ("two", (0.1, 0.4)))
    ]

    def run_two_trials(plan: Plan, ledger: Ledger, *_: object, tags: dict[str, str]) -> RunResult:
        assert tags == launch_tags(tags["command"])
        assert tags["command"].endswith(f"run_study.py run all {' '.join(where)}")
        launch = ledger.open_launch(plan.space.name, tags)
        for trial in plan.to_run[:2]:
            record = ledger.open_trial(trial.identity, launch=launch, name="trial", tags={})
            ledger.close_trial(record.run_id, TrialState.FINISHED, update=TrialUpdate())
        return RunResult(states={}, messages={}, interrupted=False, stopped="")

    monkeypatch.setattr("study.execution.runner.run_plan", run_two_trials)
    monkeypatch.setattr(studies, "_print_answer", lambda plan, ledger, records: [])
    monkeypatch.setattr(studies, "spaces_of", lambda *_: spaces)
    where = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(cache_dir)]
    assert ended(["run", "all", *where], monkeypatch) == 1, "not all trials are done"
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("study ")]
    assert told == [
        "study 1 of 2, 0 of 4 trials of this command done",
        "study 2 of 2, 2 of 4 trials of this command done",
    ]
