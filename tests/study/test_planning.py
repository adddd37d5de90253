"""Planning: trials with their records, searches rebuilt from the ledger."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from revit.config import FineTuneConfig
from revit.datasets.registry import DATASETS
from revit.datasets.splits import Splits
from revit.errors import InputError
from search_spaces.framework.claims import BetterThan
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.analysis.results import cell_table, trial_table
from study.ledger.states import TrialState
from study.plan import TABLE_COLUMNS, Folders
from study.planning import is_pruned_elsewhere, make_plan
from study.report.terminal_tables import plan_table
from tests.study.made_plans import BASE, plan_of, planner_of, record_of, searched, space_of


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data_fraction": 0.001}, "data_fraction = 0.001"),
        ({"dataset": "folder:/nowhere/at/all"}, "/nowhere/at/all"),
        ({"model.name": "vit_tiny_patch4_none"}, "weights of vit_tiny_patch4_none not found"),
    ],
)
def test_planning_names_what_is_missing(folders: Folders, values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_of(folders, base=BASE.with_values(values))


def test_planning_again_checks_no_config_twice(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """A launch plans when it begins, once it has its locks, and when it has ended."""
    plan = plan_of(folders)
    records = {trial.identity: record_of(trial) for trial in plan.trials}

    def check(config: FineTuneConfig) -> None:
        raise AssertionError("checked again")

    monkeypatch.setattr(FineTuneConfig, "__post_init__", check)
    assert plan.with_records(records).is_complete


def test_further_seeds_take_their_config_and_images_from_the_first(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, hashed = [], []
    candidate, digest = SearchSpace.candidate, Splits.digest
    monkeypatch.setattr(SearchSpace, "candidate", lambda *values: made.append(values) or candidate(*values))
    monkeypatch.setattr(Splits, "digest", property(lambda self: hashed.append(self) or digest.fget(self)))
    space = space_of(seeds=(3, 0, 7))
    made.clear()
    plan = make_plan(space, space.seeds, folders, {})
    assert (len(made), len(hashed)) == (2, 1), "one a cell, one a split"
    assert [trial.candidate for trial in plan.trials] == space.candidates(space.seeds)
    assert len({trial.identity for trial in plan.trials}) == 6


def test_a_plan_passes_on_what_is_to_be_known_of_its_datasets(folders: Folders, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name, gray in (("dark", 10), ("light", 200)):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(12):
                Image.new("RGB", (8, 8), (gray, gray, number * (split == "train"))).save(folder / f"{number}.png")
    dataset = f"folder:{tmp_path / 'photos'}"
    plan = plan_of(folders, base=BASE.with_values({"dataset": dataset}))
    assert plan.caveats == [f"dataset {dataset}: 24 of its 24 test images are training images too, pixel by pixel"]
    assert plan_of(folders).caveats == [f"dataset digits: {DATASETS['digits'].caveat}"]


def test_a_trial_that_was_done_otherwise_is_new_and_it_is_said_what_has_changed(folders: Folders) -> None:
    """A fixed value, the pixels, the weights, the training version: each makes every trial new, and is named."""
    before = plan_of(folders)
    records = {trial.identity: record_of(trial) for trial in before.trials}
    assert plan_of(folders, records).to_run == []
    after = plan_of(folders, records, base=BASE.with_values({"batch_size": 64, "optimizer.momentum": 0.5}))
    assert {trial.state for trial in after.trials} == {TrialState.NEW}
    assert {trial.staleness_reason for trial in after.trials} == {"optimizer.momentum was 0.9, batch_size was 128"}
    assert "batch_size was 128" in " ".join(row[-3] for row in plan_table(after).rows)
    assert {trial.missing for trial in after.trials} == {"stale"}
    done = {trial.identity: record_of(trial) for trial in after.trials}
    assert {trial.missing for trial in after.with_records(done).trials} == {""}
    for part in ("data", "weights", "training version"):
        others = {f"other{number}": record_of(trial, 0.5, **{f"digest.{part}": "before"})
                  for number, trial in enumerate(before.trials)}  # fmt: skip
        again = plan_of(folders, {name: replace(record, identity=name) for name, record in others.items()})
        assert {trial.staleness_reason for trial in again.trials} == {f"{part} changed"}


def test_what_is_new_in_a_grown_grid_has_not_changed(folders: Folders) -> None:
    records = {trial.identity: record_of(trial) for trial in plan_of(folders).trials}
    grown = plan_of(folders, records, scientific={"optimizer.lr": (0.1, 0.2, 0.3)}, seeds=(0, 1, 2))
    assert [trial.state for trial in grown.trials].count(TrialState.FINISHED) == 4
    assert {trial.staleness_reason for trial in grown.trials} == {""}
    wider = plan_of(folders, records, scientific={"optimizer.lr": (0.1, 0.2), "schedule.name": ("cosine", "linear")})
    assert [trial.state for trial in wider.trials].count(TrialState.FINISHED) == 4, (
        "where the new axis is as the base was"
    )
    shrunk = plan_of(folders, records, scientific={"optimizer.lr": (0.2,)})
    assert [trial.state for trial in shrunk.trials] == [TrialState.FINISHED] * 2


def test_names_claims_and_the_order_of_axes_change_no_trial(folders: Folders) -> None:
    axes = {"optimizer.lr": (0.1, 0.2), "optimizer.name": ("sgd", "adam")}
    base = plan_of(folders, scientific=axes)
    reordered = {"optimizer.name": ("adam", "sgd"), "optimizer.lr": (0.2, 0.1)}
    claim = BetterThan(better={"optimizer.lr": 0.1}, worse={"optimizer.lr": 0.2}, quote="?")
    space = SearchSpace(
        name="renamed", question="other", base=BASE.with_values({"hflip": True}), scientific=reordered, claims=(claim,),
        seeds=(1, 0),
    )  # fmt: skip
    other = make_plan(space, space.seeds, folders, {})
    assert {trial.identity for trial in base.trials} == {trial.identity for trial in other.trials}


def test_what_was_begun_otherwise_and_never_done_is_only_new(folders: Folders) -> None:
    begun = {trial.identity: record_of(trial, TrialState.INTERRUPTED) for trial in plan_of(folders).trials}
    after = plan_of(folders, begun, base=BASE.with_values({"batch_size": 64}))
    assert {trial.staleness_reason for trial in after.trials} == {""}


def space_with_levels(axis: str) -> SearchSpace:
    levels = {"short": {"steps": 10}, "long": {"steps": 20}}
    return SearchSpace(name="example", question="Does it?", base=BASE, scientific={axis: levels})


@pytest.mark.parametrize("axis", ["state", "lines", "test accuracy, %", "test_loss"])
def test_an_axis_with_the_name_of_a_column_is_refused(axis: str, folders: Folders) -> None:
    message = f"search space example: axis {axis}: tables have a column of that name; name it differently"
    with pytest.raises(InputError, match=message):
        make_plan(space_with_levels(axis), (0,), folders, {})


def test_tables_have_only_the_axes_and_these_columns(folders: Folders) -> None:
    space = space_with_levels("pace")
    plan = make_plan(space, (0,), folders, {})
    assert {*trial_table(plan).columns, *cell_table(plan).columns} - {"pace"} <= TABLE_COLUMNS


LR = {"optimizer.lr": (0.1, 0.2, 0.3)}
TUNED = {"scientific": {"schedule.name": ("cosine", "linear")}, "nuisance": LR}


def lr_wins(best: float) -> Callable[[FineTuneConfig], float]:
    return lambda config: 1 - abs(config.optimizer.lr - best)


def test_the_best_point_on_validation_images_is_trained_on_all_images_with_every_seed(folders: Folders) -> None:
    records = searched(space_of(**TUNED), folders, lr_wins(0.2))
    assert {record.params["test"] for record in records.values()} == {"False"}
    assert {record.params["seed"] for record in records.values()} == {"0"}
    trials = plan_of(folders, records, **TUNED).trials
    assert [trial.candidate.nuisance for trial in trials] == [{"optimizer.lr": 0.2}] * 4
    assert [trial.candidate.config.seed for trial in trials] == [0, 0, 1, 1]
    assert {(trial.candidate.config.val_fraction, trial.candidate.config.test) for trial in trials} == {(0.0, True)}
    assert {(trial.state, trial.awaits, trial.is_stale) for trial in trials} == {(TrialState.NEW, "", False)}


def test_trials_that_need_validation_images_keep_them(folders: Folders) -> None:
    changes = TUNED | {"scientific": {"schedule.name": ("cosine", "plateau")}, "base": BASE.with_values({"steps": 20})}
    trials = plan_of(folders, searched(space_of(**changes), folders, lr_wins(0.2)), **changes).trials
    assert [trial.candidate.config.val_fraction for trial in trials] == [0.0, 0.1] * 2


def test_trials_await_the_search_of_their_cell(folders: Folders) -> None:
    over = searched(space_of(**TUNED), folders, lr_wins(0.2))
    cosine = {identity: record for identity, record in over.items() if record.params["schedule.name"] == "cosine"}
    trials = plan_of(folders, cosine, **TUNED).trials
    assert [trial.awaits for trial in trials] == ["", "search at 0 of 3 points"] * 2
    assert [bool(trial.identity) for trial in trials] == [True, False] * 2
    assert trials[1].missing == "search at 0 of 3 points"
    running = {identity: replace(record, state=TrialState.RUNNING) for identity, record in cosine.items()}
    assert plan_of(folders, running, **TUNED).trials[0].awaits == "search at 0 of 3 points"


def test_a_cell_whose_points_all_failed_has_no_trial(folders: Folders) -> None:
    records = searched(space_of(**TUNED), folders, lambda config: TrialState.DIVERGED)
    assert {trial.awaits for trial in plan_of(folders, records, **TUNED).trials} == {"no point finished"}


def test_a_cell_without_an_axis_has_no_search(folders: Folders) -> None:
    """Its trials are trained on as many images as those of the other cells."""
    decay = Range(0.01, 0.1, when={"optimizer.name": "adamw"})
    changes = {
        "scientific": {"optimizer.name": ("sgd", "adamw")},
        "nuisance": {"optimizer.weight_decay": decay},
        "search": Search(num_trials=2),
    }
    sgd, adamw = plan_of(folders, **changes, seeds=(0,)).trials
    assert (sgd.awaits, sgd.candidate.nuisance, sgd.candidate.config.val_fraction) == ("", {}, 0.0)
    assert adamw.awaits == "search at 0 of 2 points"


def test_the_same_search_goes_on_and_another_begins_with_its_own_points(folders: Folders) -> None:
    """More trials go on; another sampler, range, metric, pruner or seed is another search."""
    tuned = {"nuisance": {"optimizer.weight_decay": Range(0.0, 0.1)}}
    space = space_of(**tuned, search=Search(num_trials=2))
    records = searched(space, folders, lambda config: config.optimizer.lr)
    cell = planner_of(space, folders).cells[0]

    def num_known(**changes: object) -> int:
        other = space_of(**tuned | {"search": Search(num_trials=2)} | changes)
        return len(planner_of(other, folders).search(cell, records).points)

    assert num_known() == num_known(search=Search(num_trials=5)) == num_known(question="Else?", seeds=(3,)) == 2
    assert num_known(search=Search(num_trials=2, time_budget_s=9.0)) == 2
    for search in (
        Search(num_trials=2, sampler="random"), Search(num_trials=2, pruner="median"),
        Search(num_trials=2, seeds=(1,)), Search(num_trials=2, objectives=("accuracy", "loss")),
    ):  # fmt: skip
        assert num_known(search=search) == 0
    assert num_known(metric="loss") == num_known(nuisance={"optimizer.weight_decay": Range(0.0, 0.2)}) == 0
    assert len(searched(space_of(**tuned, search=Search(num_trials=3)), folders, lambda config: 0.5, records)) == 2 * 3


def test_a_search_that_is_rebuilt_from_the_ledger_asks_for_the_same_points(folders: Folders) -> None:
    space = space_of(nuisance={"optimizer.weight_decay": Range(0.0, 0.1)}, search=Search(num_trials=6, sampler="tpe"))
    whole = searched(space, folders, lambda config: -config.optimizer.weight_decay)
    for kept in (0, 1, 7, 11):
        part = dict(list(whole.items())[:kept])
        assert searched(space, folders, lambda config: -config.optimizer.weight_decay, part) == whole


def test_a_point_that_another_study_has_trained_needs_no_training(folders: Folders) -> None:
    records = searched(space_of(**TUNED), folders, lr_wins(0.2))
    other = replace(space_of(**TUNED), name="other")
    planner = planner_of(other, folders)
    point = planner.ask(planner.search(planner.cells[0], records), records)
    assert point is not None
    assert point.has_ended


def test_a_search_is_stale_where_what_it_was_done_with_has_changed(folders: Folders) -> None:
    """Only the cell whose points were trained before."""
    records = searched(space_of(**TUNED), folders, lr_wins(0.2))
    linear = {identity: record for identity, record in records.items() if record.params["schedule.name"] == "linear"}
    after = plan_of(folders, linear, **TUNED, base=BASE.with_values({"batch_size": 64}))
    assert [search.staleness_reason for search in after.searches] == ["", "batch_size was 128"]
    assert [len(search.points) for search in after.searches] == [0, 0]


def test_a_tested_trial_is_stale_only_where_its_own_point_was_tested_before(folders: Folders) -> None:
    """That its point was a trial of the search is not a change."""
    records = searched(space_of(**TUNED), folders, lr_wins(0.2))
    tested = plan_of(folders, records, **TUNED).trials
    assert not any(trial.is_stale for trial in tested)
    done = records | {trial.identity: record_of(trial) for trial in tested}
    assert {trial.state for trial in plan_of(folders, done, **TUNED).trials} == {TrialState.FINISHED}
    changed = {"base": BASE.with_values({"batch_size": 64})}
    again = searched(space_of(**TUNED, **changed), folders, lr_wins(0.2), done)
    assert {trial.staleness_reason for trial in plan_of(folders, again, **TUNED, **changed).trials} == {
        "batch_size was 128"
    }
    elsewhere = searched(space_of(**TUNED, **changed), folders, lr_wins(0.3), done)
    assert not any(trial.is_stale for trial in plan_of(folders, elsewhere, **TUNED, **changed).trials)


def test_a_tag_that_somebody_has_changed_is_no_point(folders: Folders) -> None:
    space = space_of(**TUNED)
    records, tag = searched(space, folders, lr_wins(0.2)), planner_of(space, folders).search_tag
    for text in ("", "{}", '{"cell": {}, "number": "0", "point": {}}'):
        broken = {name: replace(record, tags={**record.tags, tag: text}) for name, record in records.items()}
        assert [search.points for search in plan_of(folders, broken, **TUNED).searches] == [[], []]


def test_a_trial_that_another_search_gave_up_is_trained_on(folders: Folders) -> None:
    space = space_of(**TUNED)
    tag = planner_of(space, folders).search_tag
    pruned = searched(space, folders, lambda config: TrialState.PRUNED)
    point = planner_of(space, folders).search(planner_of(space, folders).cells[0], pruned).points[0]
    assert not is_pruned_elsewhere(point.trials[0], tag)
    assert is_pruned_elsewhere(point.trials[0], "search.other.0")
    assert not is_pruned_elsewhere(replace(point.trials[0], record=None), tag)


def test_what_constraint_leaves_out_is_not_asked_for(folders: Folders) -> None:
    def is_light(config: FineTuneConfig) -> bool:
        return config.optimizer.weight_decay <= 0.05

    decay = {"optimizer.weight_decay": Range(0.0, 0.1)}
    space = space_of(nuisance=decay, search=Search(num_trials=8), constraint=is_light, seeds=(0,))
    records = searched(space, folders, lambda config: 0.5)
    decays = [float(record.params["optimizer.weight_decay"]) for record in records.values()]
    assert len(decays) == 2 * 8
    assert max(decays) <= 0.05
