"""Inputs on a node of its own folders: the storage is a folder, and the driver's paths lead nowhere."""

import errno
import hashlib
import json
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.models.weights import PACKAGED
from study.execution import node_inputs
from study.execution.failures import NodeUnfitError
from study.execution.node_inputs import CACHE_VARIABLE, find_images, find_weights, node_cache
from study.execution.shared_inputs import SharedInput
from study.system import retry
from study.system.storage import Storage

WEIGHTS = b"weights"


class Node:
    """A node whose cache folder is empty, a storage with images and weights, and paths of a driver elsewhere."""

    def __init__(self, folder: Path, images: ImageStore) -> None:
        self.cache = folder / "cache"
        self.storage = Storage(str(folder / "storage"))
        driver = folder / "driver"
        self.images = SharedInput("images", driver / images.folder.name, images.manifest.digest)
        self.weights = SharedInput("weights", driver / "w.npz", hashlib.sha256(WEIGHTS).hexdigest())
        self.storage.upload(images.folder, self.images.stored_name)
        (folder / "w.npz").write_bytes(WEIGHTS)
        self.storage.upload(folder / "w.npz", self.weights.stored_name)
        self.stored = folder / "storage" / self.images.stored_name

    def find_images(self) -> ImageStore:
        return find_images(self.images, self.storage, should_stop=lambda: False)

    def find_weights(self) -> Path | None:
        return find_weights(self.weights, self.images, self.storage, should_stop=lambda: False)


@pytest.fixture
def node(tmp_path: Path, digits: ImageStore, monkeypatch: pytest.MonkeyPatch) -> Node:
    node = Node(tmp_path, digits)
    monkeypatch.setenv(CACHE_VARIABLE, str(node.cache))
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "this node"))
    return node


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    download = Storage.download
    monkeypatch.setattr(Storage, "download", lambda *args: (names.append(args[1]), download(*args))[1])
    return names


def test_inputs_are_fetched_once_into_the_nodes_cache(node: Node, digits: ImageStore, downloads: list[str]) -> None:
    store = node.find_images()
    assert store.folder == node.cache / digits.folder.name
    assert store.compute_digest() == digits.manifest.digest
    weights = node.find_weights()
    assert weights == node.cache / "weights" / node.weights.name
    assert weights.read_bytes() == WEIGHTS
    assert (node.find_images().folder, node.find_weights()) == (store.folder, weights)
    assert downloads == [node.images.stored_name, node.weights.stored_name]
    left = {path.name for path in node.cache.rglob("*")} - {path.name for path in digits.folder.iterdir()}
    locks = {f"{wanted.name}.lock" for wanted in (node.images, node.weights)}
    assert left <= {"locks", "weights", node.images.name, node.weights.name} | locks


def test_workers_of_a_node_fetch_once(node: Node, downloads: list[str]) -> None:
    threads = [threading.Thread(target=node.find_images) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert downloads == [node.images.stored_name]


def test_the_drivers_paths_are_used_where_they_have_the_right_digest(
    node: Node, digits: ImageStore, downloads: list[str]
) -> None:
    shutil.copytree(digits.folder, node.images.path)
    node.weights.path.write_bytes(WEIGHTS)
    assert (node.find_images().folder, node.find_weights()) == (node.images.path, node.weights.path)
    node.weights.path.write_bytes(b"others")
    assert node.find_weights() == node.cache / "weights" / node.weights.name
    assert downloads == [node.weights.stored_name]


def test_packaged_weights_are_found_where_the_code_is(node: Node, downloads: list[str]) -> None:
    file = PACKAGED / "vit_nano.safetensors"
    shipped = node.weights._replace(
        path=Path("/driver/revit/vit_nano.safetensors"), digest=hashlib.sha256(file.read_bytes()).hexdigest()
    )
    assert find_weights(shipped, node.images, node.storage, should_stop=lambda: False) == file
    assert find_weights(None, node.images, node.storage, should_stop=lambda: False) is None
    assert downloads == []


def test_a_damaged_copy_and_what_a_killed_worker_left_are_replaced(node: Node) -> None:
    copy = node.cache / node.images.name
    copy.mkdir(parents=True)
    (copy / "manifest.json").write_text("{}")
    for left in (f"{copy.name}.fetching", f".{copy.name}.fetching-0.partial"):
        (node.cache / left).mkdir()
    assert node.find_images().folder == copy
    assert {path.name for path in node.cache.iterdir()} == {copy.name, "locks"}


def test_a_cache_that_cannot_be_written_makes_the_node_unfit(node: Node) -> None:
    node.cache.touch()  # a file: root may write any folder
    with pytest.raises(
        NodeUnfitError, match=f"cannot fetch {node.images.name}: {node.cache} cannot be written: F"
    ) as e:
        node.find_images()
    assert e.value.node_id == "this node"


def test_a_full_disk_makes_the_node_unfit(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: nobody may ever make room on it."""
    num_calls: list[object] = []
    monkeypatch.setattr(node_inputs, "STORAGE_TIMEOUT_S", 3.0)

    def download(*_: object) -> None:
        num_calls.append(_)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Storage, "download", download)
    with pytest.raises(NodeUnfitError, match="No space left on device"):
        node.find_images()
    assert len(num_calls) == 1


@pytest.mark.parametrize("method", ["exists", "download"])
def test_a_storage_that_is_away_for_a_while_is_waited_for(
    node: Node, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    call, errors = getattr(Storage, method), [OSError("Timeout was reached"), OSError(errno.ESTALE, "Stale handle")]
    monkeypatch.setattr(retry, "MIN_WAIT_S", 0.01)

    def call_later(*arguments: object) -> object:
        if errors:
            raise errors.pop()
        return call(*arguments)

    monkeypatch.setattr(Storage, method, call_later)
    assert node.find_images().folder == node.cache / node.images.name
    assert errors == []


@pytest.mark.parametrize("limit", ["time", "stop"])
def test_a_storage_that_stays_away_makes_the_node_unfit(
    node: Node, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """A study that stops does not wait for it."""
    monkeypatch.setattr(retry, "MIN_WAIT_S", 0.01)
    monkeypatch.setattr(node_inputs, "STORAGE_TIMEOUT_S", 0.1 if limit == "time" else 600.0)
    num_calls: list[object] = []

    def exists(*_: object) -> bool:
        num_calls.append(_)
        raise OSError("When getting information for key: Timeout was reached")

    monkeypatch.setattr(Storage, "exists", exists)
    with pytest.raises(NodeUnfitError, match="Timeout was reached"):
        find_images(node.images, node.storage, should_stop=lambda: limit == "stop")
    assert (len(num_calls) == 1) == (limit == "stop")


def test_a_copy_with_another_digest_makes_the_node_unfit_and_is_not_kept(node: Node) -> None:
    with (node.stored / "pixels.bin").open("r+b") as file:
        file.write(b"\xfe")
    with pytest.raises(NodeUnfitError, match=f"{node.images.name}.* has the digest .*damaged on its way from "):
        node.find_images()
    assert [path.name for path in node.cache.iterdir()] == ["locks"]


def test_an_input_that_nobody_has_is_a_fault_of_the_launch(node: Node) -> None:
    """Other nodes would not find it, either."""
    shutil.rmtree(node.stored)
    with pytest.raises(InputError, match=f"{node.images.path} does not exist, and .*storage has no inputs/digits-"):
        node.find_images()


def test_another_decoder_of_images_that_are_kept_encoded_makes_the_node_unfit(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = node.find_images().folder / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "decoder": "Pillow 1.0"}))
    with pytest.raises(
        NodeUnfitError, match=r"decodes images by Pillow [\d.]+, .*, but digits-.* was built by Pillow 1\.0"
    ):
        node.find_images()
    file.write_text(json.dumps({**manifest, "decoder": node_inputs.decoder()}))
    assert node.find_images().manifest.digest == node.images.digest


def test_a_node_without_a_cache_folder_of_its_own_uses_the_drivers_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "/local")
    assert node_cache(Path("/driver")) == Path("/local")
    monkeypatch.delenv(CACHE_VARIABLE)
    assert node_cache(Path("/driver")) == Path("/driver")
