"""Files of a storage, in a folder, in an object store, in a file system that is neither."""

import pickle
import socket
from pathlib import Path

import pytest
from pyarrow import fs

from revit.errors import InputError
from study.system import retry
from study.system import storage as module
from study.system.storage import COMPLETE, Storage
from tests.study.object_store import ObjectStore


@pytest.fixture(params=["folder", "s3", "fsspec"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return Storage(str(tmp_path / "shared"), "key")
    if request.param == "fsspec":
        return Storage(f"fsspec+memory:///{tmp_path}", "key")
    object_store: ObjectStore = request.getfixturevalue("object_store")
    return Storage(object_store.new_address(), "key")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_come_back_as_they_were_uploaded(storage: Storage, tmp_path: Path) -> None:
    storage.check()
    assert storage.list("work") == {}
    content = bytes(range(256)) * 100_000  # more than one part of an upload
    (tmp_path / "local").write_bytes(content)
    storage.upload(tmp_path / "local", "work/i/checkpoint.pt")
    storage.upload(write(tmp_path / "other", "a"), "work/i/deep/a b")
    other = pickle.loads(pickle.dumps(storage))
    assert other == storage
    other.download("work/i/checkpoint.pt", tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == content
    assert storage.list("work") == {"i/checkpoint.pt": len(content), "i/deep/a b": 1}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy"]


def test_a_file_is_replaced(storage: Storage, tmp_path: Path) -> None:
    for text in ("first", "second"):
        storage.upload(write(tmp_path / "local", text), "name")
        storage.download("name", tmp_path / "copy")
        assert (tmp_path / "copy").read_text() == text
    assert storage.list("") == {"name": len("second")}


def test_a_folder_is_complete_once_all_its_files_are_there(storage: Storage, tmp_path: Path) -> None:
    write(tmp_path / "images" / "a", "a")
    write(tmp_path / "images" / "deep" / "b", "bb")
    storage.upload(tmp_path / "images", "inputs/images")
    assert storage.exists("inputs/images")
    assert storage.list("inputs/images") == {"a": 1, "deep/b": 2}
    write(tmp_path / "copy" / "old", "of before")
    storage.download("inputs/images", tmp_path / "copy")
    files = {str(path.relative_to(tmp_path / "copy")): path.read_text() for path in (tmp_path / "copy").rglob("?")}
    assert files == {"a": "a", "deep/b": "bb"}
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["a", "deep"]
    storage.delete(f"inputs/images/{COMPLETE}")  # as where the upload was killed
    assert not storage.exists("inputs/images")
    with pytest.raises(FileNotFoundError, match=r"has no inputs/images$"):
        storage.download("inputs/images", tmp_path / "copy")
    assert (tmp_path / "copy" / "a").read_text() == "a"


def test_a_folder_of_files_alone_comes_back(storage: Storage, tmp_path: Path) -> None:
    write(tmp_path / "images" / "a", "a")
    write(tmp_path / "images" / "b", "b")
    storage.upload(tmp_path / "images", "inputs/images")
    storage.download("inputs/images", tmp_path / "copy")
    assert {path.name: path.read_text() for path in (tmp_path / "copy").iterdir()} == {"a": "a", "b": "b"}


def test_deleting_takes_a_file_or_a_folder_and_nothing_else(storage: Storage, tmp_path: Path) -> None:
    for name in ("work/i/a", "work/i/b", "work/ii/a", "work/j"):
        storage.touch(name)
    storage.delete("work/i")
    storage.delete("work/j")
    storage.delete("work/missing")
    storage.delete("missing")
    assert storage.list("work") == {"ii/a": 0}


def test_stores_that_share_a_storage_do_not_touch_each_other(storage: Storage, tmp_path: Path) -> None:
    other = Storage(storage.address, "other")
    storage.touch("name")
    assert not other.exists("name")
    other.delete("name")
    assert storage.exists("name")


def test_a_failed_upload_leaves_what_was_there(storage: Storage, tmp_path: Path) -> None:
    storage.upload(write(tmp_path / "local", "whole"), "name")
    with pytest.raises(FileNotFoundError):
        storage.upload(tmp_path / "missing", "name")
    storage.download("name", tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "whole"
    assert storage.list("") == {"name": len("whole")}


def test_a_folder_shows_no_file_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy_half(_: str, target: str, *args: object, **options: object) -> None:
        Path(target).write_text("ha")
        raise OSError("no more space")

    storage = Storage(str(tmp_path / "shared"))
    storage.upload(write(tmp_path / "local", "whole"), "name")
    monkeypatch.setattr(fs, "copy_files", copy_half)
    with pytest.raises(OSError, match="no more space"):
        storage.upload(tmp_path / "local", "name")
    with pytest.raises(OSError, match="no more space"):
        storage.download("name", tmp_path / "local")
    assert [(path.name, path.read_text()) for path in (tmp_path / "shared").iterdir()] == [("name", "whole")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["local", "shared"]


def test_a_folder_is_reached_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for address in ("shared", str(tmp_path / "shared"), (tmp_path / "shared").as_uri()):
        assert Storage(address, "key").folder == tmp_path / "shared" / "key"
    assert Storage("shared").folder == tmp_path / "shared"
    assert Storage("fsspec+memory:///x").folder is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("/proc/shared", "/proc/shared cannot be written: No such file or directory"),
        ("s3:bucket/prefix", "must be a folder, or an address such as s3://BUCKET/PREFIX"),
        ("s3://", "must be s3://BUCKET/PREFIX"),
        ("foo://bucket", "not an address of a file system: Unrecognized filesystem type in URI: foo://bucket"),
        ("s3://bucket?endpoint=x", "not an address of a file system: Unexpected query parameter in S3 URI: 'endpoint'"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(address: str, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        Storage(address).check()
    assert str(caught.value) == f"--storage = {address}: {reason}"


def test_a_password_is_not_printed() -> None:
    with pytest.raises(InputError, match=r"has a password, which would be printed: set AWS_ACCESS_KEY_ID") as caught:
        Storage("s3://me:secret@bucket/x").check()
    assert "secret" not in str(caught.value)


def test_a_missing_bucket_is_one_line(object_store: ObjectStore) -> None:
    address = object_store.address("missing")
    with pytest.raises(InputError, match=r"NO_SUCH_BUCKET.*: The specified bucket does not exist$") as caught:
        Storage(address).check()
    assert str(caught.value).startswith(f"--storage = {address}: cannot be used: ")


def test_an_endpoint_that_nobody_answers_is_one_line_within_15_s(object_store: ObjectStore) -> None:
    assert module.CHECK_TIMEOUT_S <= 15
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(InputError, match="Could not connect to server"):
        Storage(f"s3://bucket?scheme=http&endpoint_override=127.0.0.1:{port}").check()


def test_an_endpoint_that_is_silent_is_one_line(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"s3://bucket?scheme=http&endpoint_override=127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match="does not answer within 0 s"):
            Storage(address).check()


def test_calls_are_repeated_until_the_storage_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "MIN_WAIT_S", 0.01)
    storage = Storage(str(tmp_path))
    errors = [OSError("AWS Error SLOW_DOWN"), OSError(5, "Input/output error")]
    lines: list[str] = []

    def call() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert storage.retry(call, log=lines.append) == "done"
    assert lines[0] == f"the storage {storage.address} cannot be written for now: [Errno 5] Input/output error"
    assert not Storage.is_transient(FileNotFoundError("gone"))
    with pytest.raises(FileNotFoundError):
        storage.retry(lambda: storage.download("missing", tmp_path / "local"))
