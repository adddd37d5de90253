from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from revit.config import FineTuneConfig
from revit.datasets.registry import DATASETS
from revit.errors import InputError
from search_spaces.framework.claims import BetterThan
from search_spaces.framework.space import SearchSpace
from study.analysis.results import cell_table, trial_table
from study.ledger.records import TrialRecord, study_tags
from study.ledger.schema import DIGEST_PREFIX
from study.ledger.states import TrialState
from study.plan import TABLE_COLUMNS, Folders, Plan, preview
from study.planning import make_plan
from study.report.caveats import duplicate_caveats
from study.report.terminal_tables import plan_table
from study.staleness import staleness_reason
from study.trial import Trial

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5)
DIGESTS = {"data": "d1", "weights": "w1", "training_version": "2"}


@pytest.fixture
def folders(tmp_path: Path, cache_dir: Path) -> Folders:
    return Folders(store=tmp_path, data=tmp_path, cache=cache_dir)


def plan_of(folders: Folders, records: dict[str, TrialRecord] | None = None, **changes: object) -> Plan:
    given = {"scientific": {"optimizer.lr": (0.1, 0.2)}, "seeds": (0, 1), "base": BASE, **changes}
    space = SearchSpace(name="example", question="?", **given)
    return make_plan(space, space.seeds, folders, records or {})


def record_of(identity: str, state: TrialState) -> TrialRecord:
    return TrialRecord(
        run_id="r",
        identity=identity,
        state=state,
        last_step=0,
        metrics={},
        params={},
        tags={},
    )


@pytest.mark.parametrize(
    ("state", "runs_again"),
    [
        (TrialState.FINISHED, False),
        (TrialState.PRUNED, False),
        (TrialState.DIVERGED, False),
        (TrialState.FAILED, True),
        (TrialState.INTERRUPTED, True),
        (TrialState.RUNNING, True),
    ],
)
def test_a_trial_in_a_terminal_state_is_not_run_again(folders: Folders, state: TrialState, runs_again: bool) -> None:
    fresh = plan_of(folders)
    assert [trial.state for trial in fresh.trials] == [TrialState.NEW] * 4
    first = fresh.trials[0].identity
    plan = plan_of(folders, {first: record_of(first, state)})
    assert plan.trials[0].state == state
    assert (first in {trial.identity for trial in plan.to_run}) is runs_again
    assert len(plan.to_run) == 3 + runs_again


def test_two_names_of_one_trial_are_trained_once(folders: Folders) -> None:
    levels = {"one": {"optimizer.lr": 0.1}, "other": {"optimizer.lr": 0.1}}
    plan = plan_of(folders, scientific={"pace": levels}, seeds=(0,))
    assert len(plan.trials) == 2
    assert len(plan.to_run) == 1


def test_a_plan_knows_steps_and_test_images(folders: Folders) -> None:
    epochs = {"base": BASE.with_values({"steps": None, "epochs": 2.0, "batch_size": 100})}
    [trial, *_] = plan_of(folders, **epochs).trials
    assert trial.num_steps == 2 * 13  # 1,294 training images are 13 batches
    assert trial.num_test == 359


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


def test_a_preview_without_data_equals_the_plan_with_data(folders: Folders) -> None:
    """Digits are here: the steps from the registry's sizes are those of the real plan."""
    base = BASE.with_values({"steps": None, "epochs": 3.0, "batch_size": 32})
    axes = {"data_fraction": (1.0, 0.5, 0.1), "epoch_images": ("used", "all")}
    space = SearchSpace(name="example", question="?", base=base, scientific=axes, seeds=(0, 1))
    previews = preview(space, space.seeds)
    planned = make_plan(space, space.seeds, folders, {})
    assert [each.candidate for each in previews] == [trial.candidate for trial in planned.trials]
    assert [each.num_steps for each in previews] == [trial.num_steps for trial in planned.trials]


def test_two_budgets_that_come_to_the_same_are_one_trial(folders: Folders) -> None:
    base = BASE.with_values({"steps": None, "epochs": 2.0, "batch_size": 100})
    axes = {"data_fraction": (1.0, 0.5), "epoch_images": ("used", "all")}
    plan = plan_of(folders, base=base, scientific=axes, seeds=(0,))
    assert len(plan.trials) == 4
    assert len(plan.to_run) == 3, "at the whole fraction, as many epochs and as many steps are one"
    assert duplicate_caveats(plan) == ["epoch_images used and all: 1 of 2 trials are identical, trained once"]
    in_steps = plan_of(folders, scientific=axes, seeds=(0, 1))
    assert duplicate_caveats(in_steps) == ["epoch_images used and all: 4 of 4 trials are identical, trained once"]
    assert duplicate_caveats(plan_of(folders)) == []


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


def finished(trial: Trial, **changes: object) -> TrialRecord:
    """Return the record of a finished trial of `plan_of`, with some tags changed."""
    input_digests = {f"digest.{name}": value for name, value in trial.input_digests.items()}
    tags = {
        "study": "example",
        **study_tags("example", cell=trial.candidate.cell, point=trial.candidate.point),
        "seed": str(trial.candidate.config.seed),
        **input_digests,
    }
    params = {name: str(value) for name, value in trial.candidate.config.flat().items()}
    known = {"run_id": "r1", "identity": trial.identity, "state": TrialState.FINISHED, "last_step": 5, "metrics": {}}
    return TrialRecord(**{**known, "params": params, "tags": {**tags, **changes}})


def test_a_tuned_trial_is_stale_only_where_its_own_point_was_trained_before(folders: Folders) -> None:
    """Points of one cell differ in their nuisance values alone."""
    tuned = {"scientific": {"optimizer.name": ("sgd",)}, "nuisance": {"optimizer.lr": (0.1, 0.2)}, "seeds": (0,)}
    first, _ = plan_of(folders, **tuned).trials
    records = {first.identity: finished(first)}
    after = plan_of(folders, records, **tuned, base=BASE.with_values({"batch_size": 64}))
    assert [trial.is_stale for trial in after.trials] == [True, False]


def test_a_trial_that_was_done_otherwise_is_new_and_it_is_said_what_has_changed(folders: Folders) -> None:
    """A fixed value, the pixels, the weights, the training version: each makes every trial new, and is named."""
    before = plan_of(folders)
    records = {trial.identity: finished(trial) for trial in before.trials}
    assert plan_of(folders, records).to_run == []
    after = plan_of(folders, records, base=BASE.with_values({"batch_size": 64, "optimizer.momentum": 0.5}))
    assert {trial.state for trial in after.trials} == {TrialState.NEW}
    assert {trial.staleness_reason for trial in after.trials} == {"optimizer.momentum was 0.9, batch_size was 128"}
    assert "batch_size was 128" in " ".join(row[-3] for row in plan_table(after).rows)
    assert {trial.missing for trial in after.trials} == {"stale"}
    done = {trial.identity: finished(trial) for trial in after.trials}
    assert {trial.missing for trial in after.with_records(done).trials} == {""}
    for part in ("data", "weights", "training version"):
        others = {f"other{number}": finished(trial, **{f"digest.{part}": "before"})
                  for number, trial in enumerate(before.trials)}  # fmt: skip
        again = plan_of(folders, {name: replace(record, identity=name) for name, record in others.items()})
        assert {trial.staleness_reason for trial in again.trials} == {f"{part} changed"}


def test_what_is_new_in_a_grown_grid_has_not_changed(folders: Folders) -> None:
    records = {trial.identity: finished(trial) for trial in plan_of(folders).trials}
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
    begun = {
        trial.identity: replace(finished(trial), state=TrialState.INTERRUPTED) for trial in plan_of(folders).trials
    }
    after = plan_of(folders, begun, base=BASE.with_values({"batch_size": 64}))
    assert {trial.staleness_reason for trial in after.trials} == {""}


def record_with(config: FineTuneConfig, digests: dict[str, str]) -> TrialRecord:
    return TrialRecord(
        run_id="r",
        identity="i",
        state=TrialState.FINISHED,
        last_step=5,
        metrics={},
        params={name: str(value) for name, value in config.flat().items()},
        tags={f"{DIGEST_PREFIX}{name}": digest for name, digest in digests.items()},
    )


def test_what_was_recorded_the_same_is_not_a_reason() -> None:
    assert staleness_reason(record_with(BASE, DIGESTS), BASE, DIGESTS) == ""


def test_each_changed_field_is_named_with_its_former_value_then_each_changed_digest() -> None:
    before = BASE.with_values({"optimizer.lr": 0.5, "batch_size": 7})
    reason = staleness_reason(record_with(before, {**DIGESTS, "data": "d0"}), BASE, DIGESTS)
    assert reason == "optimizer.lr was 0.5, batch_size was 7, data changed"


def test_a_changed_function_is_named() -> None:
    config = BASE.with_values({"loss": "my_study:focal"})
    record = record_with(config, {**DIGESTS, "loss my_study:focal": "f1"})
    assert staleness_reason(record, config, {**DIGESTS, "loss my_study:focal": "f1"}) == ""
    changed = staleness_reason(record, config, {**DIGESTS, "loss my_study:focal": "f2"})
    assert changed == "loss my_study:focal changed"
    other = config.with_values({"loss": "my_study:other"})
    assert staleness_reason(record, other, {**DIGESTS, "loss my_study:other": "f1"}) == "loss was my_study:focal"


def test_what_only_one_side_has_is_named() -> None:
    record = record_with(BASE, {"data": "d1"})
    before = {name: value for name, value in record.params.items() if name != "mixup"}
    record = replace(record, params={**before, "old": "3"})
    assert staleness_reason(record, BASE.with_values({"mixup": 0.5}), DIGESTS) == (
        "mixup is 0.5, and was not a field, old was 3, and is no longer a field, "
        "weights changed, training_version changed"
    )
    assert staleness_reason(replace(record, params=before), BASE, {"data": "d1"}) == "", "a new field that is neutral"


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
