"""Plans for reports on trials whose images and weights are not on this machine."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from revit.config import FineTuneConfig, ModelConfig
from revit.datasets.image_store import ImageStore
from revit.errors import InputError, MissingInputError
from revit.models.weights import find_weights
from search_spaces.framework.space import SearchSpace
from study.ledger.records import TrialRecord, study_tags
from study.ledger.schema import DIGEST_PREFIX
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import make_plan
from study.report.caveats import plan_caveats
from study.trial import Trial
from tests.study.made_plans import record_of


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder of images and a file of weights that can go away."""
    for split, count in (("train", 20), ("test", 6)):
        for name, red in (("dark", 10), ("light", 200)):
            folder = tmp_path / "here" / "photos" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (8, 8), (red, len(split), number)).save(folder / f"{number}.png")
    packaged = find_weights(ModelConfig(name="vit_nano"))
    assert packaged is not None
    shutil.copy(packaged, tmp_path / "here" / "weights.safetensors")
    return tmp_path / "here"


@pytest.fixture
def space(here: Path) -> SearchSpace:
    """Its budget is in epochs: how many steps these are follows from the images."""
    model = ModelConfig(name="vit_nano", weights=str(here / "weights.safetensors"))
    base = FineTuneConfig(
        dataset=f"folder:{here / 'photos'}", resolution=8, epochs=2.0, batch_size=7, model=model, val_fraction=0.1
    )
    return SearchSpace(name="example", question="?", base=base, scientific={"data_fraction": (1.0, 0.5)}, seeds=(0, 1))


def record(trial: Trial) -> TrialRecord:
    """A trial that has finished, as the recorder writes it."""
    return TrialRecord(
        run_id=f"run of {trial.identity}",
        identity=trial.identity,
        state=TrialState.FINISHED,
        last_step=trial.num_steps,
        metrics={"test_accuracy": 0.5, "selected_val_accuracy": 0.5},
        params={name: str(value) for name, value in trial.candidate.config.flat().items()},
        tags={
            **study_tags("example", cell=trial.candidate.cell, point=trial.candidate.point),
            **{f"{DIGEST_PREFIX}{name}": value for name, value in trial.input_digests.items()},
            **{name: str(count) for name, count in trial.sizes.items()},
        },
    )


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(store=tmp_path / "store", data=tmp_path, cache=tmp_path / "cache")


@pytest.fixture
def records(here: Path, space: SearchSpace, folders: Folders) -> Mapping[str, TrialRecord]:
    """Records made while images and weights were present; they are missing now."""
    trials = make_plan(space, space.seeds, folders, {}).trials
    shutil.rmtree(here)
    shutil.rmtree(folders.cache)
    return {trial.identity: record(trial) for trial in trials}


def test_a_report_needs_no_images_and_no_weights(
    space: SearchSpace, folders: Folders, records: Mapping[str, TrialRecord]
) -> None:
    with pytest.raises(InputError, match="photos"):
        make_plan(space, space.seeds, folders, records)
    plan = make_plan(space, space.seeds, folders, records, for_report=True)
    assert {trial.identity: trial.record for trial in plan.trials} == records
    assert [trial.num_steps for trial in plan.trials] == [2 * 6, 2 * 3] * 2, "36 and 18 images in batches of 7"
    assert {(trial.images, trial.weights, trial.num_test) for trial in plan.trials} == {(None, None, 12)}
    assert any("photos" in line and "left out" in line for line in plan_caveats(plan))


def test_a_report_on_images_that_cannot_be_decoded_any_more_says_so(
    here: Path, space: SearchSpace, folders: Folders
) -> None:
    trials = make_plan(space, space.seeds, folders, {}).trials
    (here / "photos" / "train" / "dark" / "3.png").write_bytes(b"no image")
    plan = make_plan(space, space.seeds, folders, {each.identity: record(each) for each in trials}, for_report=True)
    assert [trial.identity for trial in plan.trials] == [trial.identity for trial in trials]
    assert any("3.png" in line and "--skip-broken" in line and "left out" in line for line in plan_caveats(plan))


def test_what_was_never_trained_is_new_and_what_nobody_recorded_is_missed(
    space: SearchSpace, folders: Folders, records: Mapping[str, TrialRecord]
) -> None:
    wider = replace(space, scientific={"data_fraction": (1.0, 0.5, 0.25)})
    plan = make_plan(wider, wider.seeds, folders, records, for_report=True)
    assert [trial.state for trial in plan.trials] == [TrialState.FINISHED, TrialState.FINISHED, TrialState.NEW] * 2
    with pytest.raises(InputError, match="photos"):
        make_plan(space, space.seeds, folders, {}, for_report=True)


def test_a_further_test_set_is_an_input_of_its_trials(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    base = FineTuneConfig(dataset="digits", resolution=8, steps=5)
    space = SearchSpace(name="example", question="?", base=base, scientific={"optimizer.lr": (0.1, 0.2)}, seeds=(0,))
    further = replace(space, base=base.with_values({"test_sets": ("mnist_5k",)}), metrics=("accuracy@mnist_5k",))
    plain, tested = (make_plan(each, (0,), folders, {}) for each in (space, further))
    assert {trial.identity for trial in plain.trials}.isdisjoint(trial.identity for trial in tested.trials)
    trial = tested.trials[0]
    assert (trial.sizes["num_test"], trial.sizes["mnist_5k/num_test"], trial.num_test) == (359, 1000, 359)
    about_it = make_plan(replace(further, metric="accuracy@mnist_5k", metrics=()), (0,), folders, {})
    assert about_it.trials[0].num_test == 1000, "the test images of the study's metric"
    assert about_it.trials[0].identity == trial.identity
    assert "dataset mnist_5k: " in "\n".join(tested.caveats)
    done = {each.identity: record(each) for each in tested.trials}

    def gone(self: Folders, dataset: str) -> ImageStore:
        raise MissingInputError("dataset", dataset, [], is_fetchable=False)

    monkeypatch.setattr(Folders, "open_images", gone)
    again = make_plan(further, (0,), folders, done, for_report=True)
    assert [each.identity for each in again.trials] == list(done)
    assert again.trials[0].test_sets == {"mnist_5k": None}
    assert again.trials[0].sizes == trial.sizes
    with pytest.raises(InputError, match="dataset digits not found"):
        make_plan(further, (0,), folders, {}, for_report=True)


def test_a_test_set_of_other_classes_is_refused(folders: Folders) -> None:
    base = FineTuneConfig(dataset="digits", resolution=8, steps=5, test_sets=("faces",))
    space = SearchSpace(name="example", question="?", base=base, scientific={"optimizer.lr": (0.1, 0.2)})
    wrong = r"test_sets has 'faces': it has 2 classes: face, background; must be those of digits, 10 classes: 0, 1, "
    with pytest.raises(InputError, match=wrong):
        make_plan(space, (0,), folders, {})


def test_a_test_set_that_is_new_makes_recorded_trials_stale(folders: Folders) -> None:
    base = FineTuneConfig(dataset="digits", resolution=8, steps=5)
    space = SearchSpace(name="example", question="?", base=base, scientific={"optimizer.lr": (0.1, 0.2)}, seeds=(0,))
    done = {each.identity: record_of(each) for each in make_plan(space, (0,), folders, {}).trials}
    done = {name: replace(each, params=without(each.params, "test_sets")) for name, each in done.items()}
    assert all(each.record is not None for each in make_plan(space, (0,), folders, done).trials), "before the field was"
    further = replace(space, base=base.with_values({"test_sets": ("mnist_5k",)}))
    [reason] = {each.staleness_reason for each in make_plan(further, (0,), folders, done).trials}
    assert reason == "test_sets is ('mnist_5k',), and was not a field"


def without(params: Mapping[str, str], name: str) -> dict[str, str]:
    return {path: value for path, value in params.items() if path != name}
