"""A notebook plans, runs, reports a study by functions that print nothing."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study import api
from study.ledger.states import TrialState

SPACE = SearchSpace(
    name="notebook",
    question="Does it run from a notebook?",
    base=FineTuneConfig(dataset="digits", resolution=8, batch_size=16, steps=4, num_evals=1),
    scientific={"optimizer.lr": (0.01, 0.1)},
    seeds=(0,),
)


def test_a_notebook_plans_runs_and_reports_a_study(
    ray_cluster: None, tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = api.make_folders(str(tmp_path / "mlruns"), tmp_path / "data", cache_dir=cache_dir)
    plan = api.plan(SPACE, folders)
    assert [trial.state for trial in plan.trials] == [TrialState.NEW, TrialState.NEW]
    assert not folders.has_store, "a plan creates no store"

    ledger = api.open_ledger(folders, create=True)
    api.check_can_run([plan])
    result = api.run(plan, ledger, command="a notebook")
    assert set(result.states) == {trial.identity for trial in plan.trials}
    assert set(result.states.values()) == {TrialState.FINISHED}
    assert api.plan(SPACE, folders).to_run == []

    paths = api.report(plan, ledger, tmp_path / "reports")
    assert all(path.exists() for path in paths)
    assert paths[-1] == tmp_path / "reports" / "index.html"
    [summary] = [json.loads(path.read_text()) for path in paths if path.name == "report.json"]
    assert (summary["study"], summary["num_finished"]) == ("notebook", 2), "the plan from before the run is enough"
    assert capsys.readouterr().out == ""

    lines = StringIO()
    again = api.run(api.plan(SPACE, folders), ledger, console=Console(file=lines, width=200))
    assert again.states == {}
    assert lines.getvalue().splitlines()[-2:] == ["2 trials, 2 done, 0 to run", "nothing to do: every trial is done"]


def test_a_store_is_only_created_on_request(tmp_path: Path, cache_dir: Path) -> None:
    folders = api.make_folders(str(tmp_path / "mlruns"), tmp_path, cache_dir=cache_dir)
    with pytest.raises(InputError, match="there is no store at"):
        api.open_ledger(folders)
    assert not (tmp_path / "mlruns").exists()


def test_the_number_of_seeds_replaces_the_seeds_of_a_study(tmp_path: Path, cache_dir: Path) -> None:
    folders = api.make_folders(str(tmp_path / "mlruns"), tmp_path, cache_dir=cache_dir)
    seeds = [trial.candidate.config.seed for trial in api.plan(SPACE, folders, num_seeds=3).trials]
    assert seeds == [0, 1, 2, 0, 1, 2] or seeds == [0, 0, 1, 1, 2, 2]


def test_the_requirements_of_a_study_are_fetched(tmp_path: Path) -> None:
    *_, fetched = api.fetch([SPACE], tmp_path)
    assert fetched.is_present


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000/", "https://results.example"])
def test_a_server_keeps_the_results_in_place_of_the_folder(address: str, tmp_path: Path) -> None:
    folders = api.make_folders(address, tmp_path, cache_dir=tmp_path)
    assert folders.server == address.rstrip("/")
    assert folders.store.name == api.DEFAULT_STORE


def test_all_stands_for_the_studies_of_the_paper() -> None:
    names = [space.name for space in api.load_studies(api.ALL, scale="nano")]
    assert "resolution" in names
    assert "quickstart" not in names
