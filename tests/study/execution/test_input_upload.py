"""The upload of inputs, to a storage that is a folder."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from revit.errors import InputError
from revit.models.weights import PACKAGED
from study.execution.input_upload import upload_added, upload_inputs
from study.execution.rehearsal import shapes_of
from study.execution.shared_inputs import SharedInput, images_of
from study.execution.trial_task import make_task
from study.plan import Folders
from study.system.storage import Storage
from study.trial import Trial
from tests.study.example_plan import make_example
from tests.study.execution.tasks import GRANT
from tests.study.made_plans import BASE, plan_of


@pytest.fixture
def trials(tmp_path: Path, cache_dir: Path) -> list[Trial]:
    return list(make_example(tmp_path, cache_dir).trials)


def test_what_trials_read_is_uploaded_once(tmp_path: Path, trials: list[Trial]) -> None:
    storage, lines = Storage(str(tmp_path / "storage")), []
    upload_inputs(trials, storage, lines.append)
    assert lines == [f"uploading images of digits to {tmp_path / 'storage'}"], "the weights are in the package"
    images = images_of(trials[0])
    stored = tmp_path / "storage" / "inputs" / images.name
    assert images.find_fault(stored, thorough=True) == ""
    written = (stored / "pixels.bin").stat().st_mtime_ns
    upload_inputs(trials, storage, lines.append)
    assert (len(lines), (stored / "pixels.bin").stat().st_mtime_ns) == (1, written)


def test_weights_of_a_folder_are_uploaded_without_the_rest_of_it(tmp_path: Path, trials: list[Trial]) -> None:
    """Snapshots of Hugging Face hold links, and the same weights in other formats."""
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    shutil.copy(PACKAGED / "vit_nano.safetensors", tmp_path / "blob")
    (snapshot / "model.safetensors").symlink_to(tmp_path / "blob")
    (snapshot / "flax_model.msgpack").touch()
    storage, lines = Storage(str(tmp_path / "storage")), []
    upload_inputs([replace(trials[0], weights=snapshot)], storage, lines.append)
    assert lines[1] == f"uploading weights of vit_nano to {tmp_path / 'storage'}"
    digest = trials[0].input_digests["weights"]
    stored = tmp_path / "storage" / "inputs" / f"model-{digest[:16]}.safetensors"
    assert SharedInput("weights", stored, digest).find_fault(stored) == ""
    assert not stored.is_symlink()
    assert len(list(stored.parent.iterdir())) == 2


def test_a_storage_that_cannot_be_written_is_named(tmp_path: Path, trials: list[Trial]) -> None:
    (tmp_path / "storage").touch()  # a file: root may write any folder
    with pytest.raises(InputError, match=r"^--storage = .*storage: cannot take images of digits: "):
        upload_inputs(trials, Storage(str(tmp_path / "storage")), print)


def test_what_a_search_adds_is_uploaded_once_the_storage_is_back(
    tmp_path: Path, trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.system.retry.MIN_WAIT_S", 0.01)
    storage, lines = Storage(str(tmp_path / "storage")), []
    upload_inputs(trials[:1], storage, lines.append)
    shutil.copy(PACKAGED / "vit_nano.safetensors", tmp_path / "own.safetensors")
    added = [replace(trial, weights=tmp_path / "own.safetensors") for trial in trials]
    exists, errors = Storage.exists, [OSError("Timeout was reached")]

    def exists_later(*arguments: object) -> bool:
        if errors:
            raise errors.pop()
        return bool(exists(*arguments))

    monkeypatch.setattr(Storage, "exists", exists_later)
    for _ in range(2):
        upload_added(added, storage, lines.append, should_stop=lambda: False)
    assert lines[1:] == [
        f"the storage {storage.address} cannot be written for now: Timeout was reached",
        f"the storage {storage.address} can be written again; nothing is lost",
        f"uploading weights of vit_nano to {storage.address}",
    ]
    [stored] = (tmp_path / "storage" / "inputs").glob("own-*.safetensors")
    assert stored.read_bytes() == (tmp_path / "own.safetensors").read_bytes()


def test_images_of_further_test_sets_go_with_a_trial(tmp_path: Path, cache_dir: Path) -> None:
    """To the storage, and in its task, by their digests."""
    folders = Folders(store=tmp_path, data=tmp_path, cache=cache_dir)
    trial = plan_of(folders, base=BASE.with_values({"test_sets": ("mnist_5k",)})).to_run[0]
    storage, lines = Storage(str(tmp_path / "storage")), []
    upload_inputs([trial], storage, lines.append)
    assert lines == [f"uploading images of {name} to {tmp_path / 'storage'}" for name in ("digits", "mnist_5k")]
    task = make_task(trial, GRANT, storage=storage, stop_file="stop", is_prunable=False)
    stored = tmp_path / "storage" / task.test_sets["mnist_5k"].stored_name
    assert task.test_sets["mnist_5k"].find_fault(stored, thorough=True) == ""
    [other] = shapes_of(plan_of(folders).to_run)
    assert len(shapes_of([trial, other.trial])) == 2, "they are rehearsed for themselves"
