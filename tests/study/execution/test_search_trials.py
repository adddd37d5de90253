"""A trial of a search from its worker to the ledger and to all that reads it, beside the same one that is tested."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ray import tune

from revit.budget import compile_budget
from revit.config import FineTuneConfig
from revit.identity import identity
from search_spaces.framework.candidates import Candidate
from search_spaces.framework.space import SearchSpace
from study.analysis.results import trial_table
from study.analysis.tidy import tidy_table
from study.execution.recorder import Recorder
from study.execution.resources import ResourceGrant
from study.execution.trainable import train_trial
from study.execution.trial_task import make_task
from study.inputs import Inputs
from study.layout import MODEL, PREDICTIONS
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import study_tags
from study.ledger.reuse import find_record, identities_with_test
from study.ledger.schema import PHASE_TAG
from study.ledger.states import TrialState
from study.maintenance.checks.store import check_store
from study.maintenance.prune import find_prunable
from study.plan import Folders, Plan
from study.planning import Planner
from study.trial import Trial

GRANT = ResourceGrant(num_cpus=1, num_gpus=0, max_cpus=1, max_concurrent_trials=1)
MEASURED = {"train_time_s", "train_images_per_s", "eval_images_per_s", "peak_memory_bytes"}


class Study:
    """A store with trials of one config that have run to their end, each in a launch of its own."""

    def __init__(self, ledger: Ledger, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledger, self.patch = ledger, monkeypatch
        self.locks = Locks(ledger.root / "locks")
        self.folders = Folders(store=ledger.root, data=ledger.root, cache=cache_dir)

    def inputs(self, config: FineTuneConfig) -> tuple[Any, Any, Any]:
        """Return images, budget and digests of a trial."""
        inputs = Inputs(self.folders.open_images, ())
        images = inputs.images(config)
        budget = compile_budget(config, images.num_train, images.num_all)
        return images, budget, images.digests(config, inputs.weights(config.model)[1])

    def trial(self, config: FineTuneConfig) -> Trial:
        images, budget, digests = self.inputs(config)
        candidate = Candidate(cell={"optimizer.lr": 0.1}, nuisance={}, requested_values={}, config=config)
        name = identity(config, budget, digests)
        return Trial(
            candidate=candidate, identity=name, images=images.folder,
            weights=Inputs(self.folders.open_images, ()).weights(config.model)[0], num_steps=budget.num_steps,
            num_test=images.num_test, record=None, input_digests=digests.by_name(), sizes=images.sizes,
            study={"study": "example"}, keeps={"example": config.test},
        )  # fmt: skip

    def run(self, config: FineTuneConfig) -> Trial:
        """Run a trial as a worker does, record what it reports, and return it as the ledger has it."""
        trial = self.trial(config)
        launch = self.ledger.launches.open("example", {})
        known = {trial.identity: trial}
        recorder = Recorder(self.ledger, launches={"example": launch}, trials=known, locks=self.locks, log=print)
        recorder.start_trial(trial.identity)
        reports: list[dict[str, Any]] = []
        self.patch.setattr(tune, "report", reports.append)
        options: dict[str, Any] = {"storage": self.ledger.storage, "stop_file": "stop"}
        task = make_task(trial, GRANT, **options, is_prunable=False)
        train_trial({"task": task})
        for report in reports:
            recorder.add_tags(trial.identity, report.get("tags", {}))
            recorder.add_rows(trial.identity, report.get("rows", []))
        recorder.end_trial(trial.identity, reports[-1]["state"])
        recorder.close(interrupted=False)
        return replace(trial, record=self.ledger.trials()[trial.identity])


@pytest.fixture
def study(
    tmp_path: Path, cache_dir: Path, new_ledger: Callable[[Path], Ledger], monkeypatch: pytest.MonkeyPatch
) -> Study:
    return Study(new_ledger(tmp_path / "mlruns"), cache_dir, monkeypatch)


def test_a_search_trial_leaves_nothing_of_the_test_split_and_the_values_of_a_tested_one(
    study: Study, small: FineTuneConfig
) -> None:
    tested, searched = (study.run(small.with_values({"test": each})) for each in (True, False))
    assert tested.record is not None and searched.record is not None
    assert tested.identity != searched.identity
    assert (tested.state, searched.state) == (TrialState.FINISHED, TrialState.FINISHED)
    assert (tested.record.tags[PHASE_TAG], searched.record.tags[PHASE_TAG]) == ("test", "search")
    without_test = {name: value for name, value in tested.record.metrics.items() if not name.startswith("test_")}
    assert searched.record.metrics.keys() == without_test.keys() < tested.record.metrics.keys()
    differing = {name for name, value in without_test.items() if searched.record.metrics[name] != value}
    assert differing <= MEASURED | {"images_per_s"}
    ours, theirs = (study.ledger.artifacts.path(each.record.run_id, "") for each in (searched, tested))
    predictions, all_predictions = (pd.read_parquet(folder / PREDICTIONS) for folder in (ours, theirs))
    assert set(predictions["split"]) == {"val"}
    pd.testing.assert_frame_equal(predictions, all_predictions.query("split == 'val'").reset_index(drop=True))
    assert not (ours / MODEL).exists() and (theirs / MODEL).exists()


def test_a_search_trial_is_whole_for_the_doctor_and_in_tables(study: Study, small: FineTuneConfig) -> None:
    searched = study.run(small.with_values({"test": False}))
    assert searched.record is not None
    assert [each for each in check_store(study.folders, fix=False) if each.level != "ok"] == []
    assert find_prunable(study.ledger, study.locks, ()) == []
    space = SearchSpace(name="example", question="?", base=small, scientific={"optimizer.lr": (0.1,)}, seeds=(0,))
    plan = Plan(space=space, trials=[searched])
    value = searched.record.metrics["selected_val_accuracy"]
    [row] = trial_table(plan).to_dict("records")
    assert (row["state"], row["selected_val_accuracy"], row["test_accuracy"] > 0) == ("finished", value, False)
    [row] = tidy_table(plan, ("finished",)).to_dict("records")
    assert (row["val_accuracy"], row["accuracy"] > 0) == (value, False)
    read = study.ledger.artifacts.read_predictions
    assert read(searched.record.run_id, ("prediction",), "val").accuracy == value
    with pytest.raises(KeyError, match="test"):
        read(searched.record.run_id, ("prediction",))


def test_a_tested_trial_serves_a_search_and_has_the_value_that_the_search_would_train(
    study: Study, small: FineTuneConfig
) -> None:
    config = small.with_values({"test": False})
    _, budget, digests = study.inputs(config)
    names = identity(config, budget, digests), identities_with_test(config, budget, digests)
    tested = study.run(small.with_values({"test_curve": True}))
    served = find_record(*names, study.ledger.trials())
    assert served is not None and served.identity == tested.identity
    searched = study.run(config).record
    assert searched is not None
    values = {name: value for name, value in searched.metrics.items() if name.startswith(("val_", "selected_val_"))}
    assert {name: served.metrics[name] for name in values} == values and len(values) > 2
    own = find_record(*names, study.ledger.trials())
    assert own is not None and own.identity == searched.identity


def test_a_point_that_another_study_has_tested_is_not_trained_by_a_search(study: Study, small: FineTuneConfig) -> None:
    space = SearchSpace(
        name="searched", question="?", base=small, scientific={"optimizer.name": ("sgd",)},
        nuisance={"optimizer.lr": (0.1, 0.2)}, seeds=(0,),
    )  # fmt: skip
    planner = Planner(space, (0,), Inputs(study.folders.open_images, ()))
    tested = study.run(small.with_values({"optimizer.lr": 0.1})).record
    assert tested is not None
    search = planner.search(planner.cells[0], study.ledger.trials())
    points = []
    while (point := planner.ask(search, study.ledger.trials())) is not None:
        points.append(point)
        search = replace(search, points=points)
    assert {point.trials[0].candidate.config.optimizer.lr: point.state for point in points} == {
        0.1: TrialState.FINISHED, 0.2: TrialState.NEW
    }  # fmt: skip
    [served] = [point for point in points if point.state == TrialState.FINISHED]
    assert served.value("accuracy") == tested.metrics["selected_val_accuracy"]
    study.ledger.tag_study(tested, served.trials[0].tags)
    [again] = planner.search(planner.cells[0], study.ledger.trials()).points
    assert (again.number, again.trials, again.state) == (
        served.number, tuple(replace(each, record=again.trials[0].record) for each in served.trials), served.state
    )  # fmt: skip


def test_the_winner_of_a_search_that_a_tested_trial_serves_is_new_and_not_stale(
    study: Study, small: FineTuneConfig
) -> None:
    space = SearchSpace(
        name="searched", question="?", base=small, scientific={"optimizer.name": ("sgd",)},
        nuisance={"optimizer.lr": (0.1,)}, seeds=(0,),
    )  # fmt: skip
    planner = Planner(space, (0,), Inputs(study.folders.open_images, ()))
    tested = study.run(small.with_values({"optimizer.lr": 0.1})).record
    point = planner.ask(planner.search(planner.cells[0], study.ledger.trials()), study.ledger.trials())
    assert tested is not None and point is not None
    place = study_tags("searched", cell={"optimizer.name": "sgd"}, point={"optimizer.name": "sgd", "optimizer.lr": 0.1})
    study.ledger.tag_study(tested, {**point.trials[0].tags, **place})
    [winner] = planner.plan(study.ledger.trials()).trials
    assert (winner.candidate.config.optimizer.lr, winner.candidate.config.val_fraction) == (0.1, 0.0)
    assert (winner.state, winner.staleness_reason) == (TrialState.NEW, "")
