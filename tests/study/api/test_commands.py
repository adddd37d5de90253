"""Steps of the commands are functions that print nothing."""

import json
import os
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from revit.config import FineTuneConfig
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study import api
from study.ledger.states import TrialState
from tests.study.searched_study import SPACE as SEARCHED

SPACE = SearchSpace(
    name="notebook",
    question="Does it run from a notebook?",
    base=FineTuneConfig(dataset="digits", resolution=8, batch_size=16, steps=4, num_evals=1),
    scientific={"optimizer.lr": (0.01, 0.1)},
    seeds=(0,),
)


def test_a_study_is_planned_run_reported_with_one_ledger(
    ray_cluster: None, one_slot: None, tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = api.make_folders(tmp_path / "mlruns", tmp_path / "data", cache_dir=cache_dir)
    plan = api.plan_study(SPACE, folders, api.read_records(folders))
    assert [trial.state for trial in plan.trials] == [TrialState.NEW, TrialState.NEW]
    assert not folders.has_store, "a plan creates no store"

    ledger = api.open_ledger(folders, create=True)
    api.check_can_run([plan])
    result = api.run_plans([plan], ledger, command="a notebook")
    assert set(result.states) == {trial.identity for trial in plan.trials}
    assert set(result.states.values()) == {TrialState.FINISHED}
    assert list(api.explain_failures([plan], ledger, result)) == []

    records = api.read_records(folders)
    plan = api.plan_study(SPACE, folders, records)
    assert plan.to_run == []
    api.check_uniform(plan)
    effects = api.study_effects(plan, ledger, records)
    verdicts, history = api.claim_verdicts(plan, ledger, records), api.read_history(plan, ledger, records)
    paths = api.write_report(plan, ledger, tmp_path / "reports", verdicts, effects, history)
    assert all(path.exists() for path in paths)
    [summary] = [json.loads(path.read_text()) for path in paths if path.name == "report.json"]
    assert (summary["study"], summary["num_finished"]) == ("notebook", 2)
    assert api.write_index(tmp_path / "reports") == tmp_path / "reports" / "index.html"
    assert capsys.readouterr().out == ""

    lines = StringIO()
    again = api.run_plans([plan], ledger, console=Console(file=lines, width=200))
    assert again.states == {}
    assert lines.getvalue().splitlines()[-2:] == ["2 trials, 2 done, 0 to run", "nothing to do: every trial is done"]


def test_the_number_of_seeds_replaces_the_seeds_of_a_study(tmp_path: Path, cache_dir: Path) -> None:
    folders = api.make_folders(tmp_path / "mlruns", tmp_path, cache_dir=cache_dir)
    plan = api.plan_study(SPACE, folders, {}, num_seeds=3)
    assert sorted(trial.candidate.config.seed for trial in plan.trials) == [0, 0, 1, 1, 2, 2]
    assert len(api.preview_study(SPACE, num_seeds=3)) == len(plan.trials)


def test_trials_of_searches_are_counted(tmp_path: Path, cache_dir: Path) -> None:
    """Only one of two cells has something to tune: six points with two seeds."""
    space = replace(SEARCHED, nuisance={"optimizer.weight_decay": SEARCHED.nuisance["optimizer.weight_decay"]},
                    search=Search(num_trials=6, seeds=(0, 1)))  # fmt: skip
    plan = api.plan_study(space, api.make_folders(tmp_path / "mlruns", tmp_path, cache_dir=cache_dir), {}, num_seeds=3)
    assert api.count_trials(space, num_seeds=3) == len(plan.all_trials) + plan.num_unknown == 6 * 2 + 2 * 3
    assert api.count_trials(SPACE) == 2


def test_the_requirements_of_a_study_are_fetched(tmp_path: Path) -> None:
    *_, fetched = api.fetch([SPACE], tmp_path)
    assert fetched.is_present
    assert api.find_missing(SPACE, api.make_folders(tmp_path / "mlruns", tmp_path)) == []


def test_what_is_compiled_is_kept_beside_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "to be put back")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    api.cache_compiled(api.make_folders(cache_dir=tmp_path))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "compiled")
