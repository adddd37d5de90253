"""`run` of several studies reports its overall progress."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study import api
from study.cli import studies
from study.cli.main import main
from study.execution.run_result import RunResult
from study.ledger.ledger import Ledger
from study.ledger.provenance import launch_tags
from study.ledger.records import TrialUpdate
from study.ledger.states import TrialState
from study.plan import Plan


def test_each_of_several_studies_starts_with_the_progress_of_all(
    tmp_path: Path,
    cache_dir: Path,
    new_ledger: Callable[[Path], Ledger],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
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
    monkeypatch.setattr(studies, "_echo_results", lambda plan, ledger, records: [])
    monkeypatch.setattr(api, "load_studies", lambda *_, **__: spaces)
    where = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(cache_dir)]
    monkeypatch.setattr(sys, "argv", ["run_study.py", "run", "all", *where])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1, "not all trials are done"
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("study ")]
    assert lines == [
        "study 1 of 2, 0 of 4 trials of this command done",
        "study 2 of 2, 2 of 4 trials of this command done",
    ]
