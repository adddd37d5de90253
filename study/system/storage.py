"""Files that all processes of a study share, by name: in a folder that all nodes have, or in an object store."""

import contextlib
import queue
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from pyarrow import fs
from pyarrow.lib import ArrowInvalid

from revit.errors import InputError, UnwritableFolderError, first_line
from revit.paths import check_writable, expand_path
from study.system.retry import Unreliable

COMPLETE = ".complete"
"""File in an uploaded folder, written after all others: without it, the folder is not complete."""
PARTIAL = ".partial"
"""End of the name of a file that is being written, where a file system shows it before it is whole."""
CHUNK_BYTES = 16 * 1024 * 1024
"""Bytes that are copied at a time."""
CHECK_TIMEOUT_S = 15.0
"""Maximum seconds to wait for a storage to answer before a study starts."""
REQUEST_ID = re.compile(r" \(Request ID: [^)]*\)")
"""Detail of S3's messages that differs each time."""
ATOMIC = ("s3", "gcs", "abfs")
"""Types of file systems in which a file is there as a whole or not at all: object stores."""


@dataclass(frozen=True)
class Storage(Unreliable):
    """Files by name, as in `work/IDENTITY/checkpoint.pt`. A file is replaced as a whole or not at all.

    A storage is picklable, and equal wherever its address is: each process connects when it first needs it.

    Args:
        address: path of a folder, or address that `pyarrow.fs.FileSystem.from_uri` reads, such as
            s3://BUCKET/PREFIX?endpoint_override=HOST:PORT. Credentials come from the environment.
        key: folder in it that has the files, so that several stores can share one address; empty for none.
    """

    address: str
    key: str = ""

    def __post_init__(self) -> None:
        """Make a path absolute: other processes have other working directories."""
        if "://" in self.address:
            return
        if re.match(r"\w{2,}:", self.address):
            raise InputError(f"--storage = {self.address}: must be a folder, or an address such as s3://BUCKET/PREFIX")
        object.__setattr__(self, "address", str(expand_path(Path(self.address))))

    @property
    def folder(self) -> Path | None:
        """The folder with the files where nodes reach it by a path; None for an object store."""
        filesystem, root = _connect(self.address)
        return Path(root) / self.key if filesystem.type_name == "local" else None

    def check(self) -> None:
        """Write a file, find it, delete it.

        Raises:
            InputError: the address cannot be used, one of these fails, or it takes too long.
        """
        outcome: queue.Queue[str] = queue.Queue()
        threading.Thread(target=lambda: outcome.put(self._find_fault()), daemon=True).start()  # some retry for minutes
        try:
            fault = outcome.get(timeout=CHECK_TIMEOUT_S)
        except queue.Empty:
            fault = f"--storage = {self.address}: does not answer within {CHECK_TIMEOUT_S:.0f} s"
        if fault:
            raise InputError(fault)

    def _find_fault(self) -> str:
        """Return why the storage cannot be used, one line; empty if it can."""
        name = f".check-{uuid4().hex}"
        try:
            if self.folder is not None:
                check_writable(self.folder, "storage")
            self.touch(name)
            is_there = self.exists(name)
            self.delete(name)
        except UnwritableFolderError as error:
            return f"--storage = {self.address}: {error}"
        except InputError as error:
            return str(error)
        except OSError as error:
            return f"--storage = {self.address}: cannot be used: {self.reason(error)}"
        return "" if is_there else f"--storage = {self.address}: a file is not there after it was written"

    @staticmethod
    def reason(error: OSError) -> str:
        """Return the message of an error of a storage, one line."""
        return error.strerror or REQUEST_ID.sub("", first_line(error))

    def upload(self, local: Path, name: str) -> None:
        """Copy a file or a folder to the storage. A folder that is there gets the files; others in it stay."""
        if not local.is_dir():
            self._put(local, name)
            return
        for path in sorted(local.rglob("*")):
            if path.is_file():
                self._put(path, f"{name}/{path.relative_to(local).as_posix()}")
        self.touch(f"{name}/{COMPLETE}")

    def download(self, name: str, local: Path) -> None:
        """Copy a file or a folder from the storage, and replace what is there.

        Raises:
            FileNotFoundError: it is not in the storage, or it is a folder that is not complete.
        """
        if not self.exists(name):
            raise FileNotFoundError(f"{self.address} has no {name}")
        filesystem, source = self._resolve(name)
        partial = local.with_name(f".{local.name}-{uuid4().hex}{PARTIAL}")
        local.parent.mkdir(parents=True, exist_ok=True)
        here = fs.LocalFileSystem()
        [found] = filesystem.get_file_info([source])
        try:
            if found.type == fs.FileType.Directory:
                partial.mkdir()  # pyarrow makes it only for folders in it
            fs.copy_files(source, str(partial), filesystem, here, chunk_size=CHUNK_BYTES)
            if partial.is_dir():
                (partial / COMPLETE).unlink()
            _delete(here, str(local))
            partial.rename(local)
        finally:
            _delete(here, str(partial))

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name, or a folder that is complete."""
        filesystem, path = self._resolve(name)
        [found] = filesystem.get_file_info([path])
        if found.type == fs.FileType.Directory:
            [found] = filesystem.get_file_info([f"{path}/{COMPLETE}"])
        return bool(found.type == fs.FileType.File)

    def touch(self, name: str) -> None:
        """Write an empty file."""
        filesystem, path = self._resolve(name)
        _make_parent(filesystem, path)
        filesystem.open_output_stream(path, compression=None).close()

    def delete(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it. There may be none."""
        _delete(*self._resolve(name))

    def list(self, name: str) -> dict[str, int]:
        """Return the bytes of each file in a folder, also in folders in it, by its name from there.

        Empty where there is no such folder. Files that are being written are left out.
        """
        filesystem, path = self._resolve(name)
        found = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        files = {each.path[len(path) + 1 :]: each.size for each in found if each.type == fs.FileType.File}
        return {file: size for file, size in files.items() if not file.endswith((COMPLETE, PARTIAL))}

    def folders(self, name: str) -> Sequence[str]:
        """Return the sorted names of the folders in a folder; none where there is no such folder."""
        filesystem, path = self._resolve(name)
        found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted(each.base_name for each in found if each.type == fs.FileType.Directory)

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"the storage {self.address}"

    @staticmethod
    def is_transient(error: BaseException) -> bool:
        """Return whether a call that raised this error may succeed later.

        Object stores do not number their errors: all but that a file is not there may be fixed while a study waits.
        """
        return isinstance(error, OSError) and not isinstance(error, FileNotFoundError | FileExistsError)

    def _put(self, local: Path, name: str) -> None:
        filesystem, path = self._resolve(name)
        here = fs.LocalFileSystem()
        if filesystem.type_name in ATOMIC:
            fs.copy_files(str(local), path, here, filesystem, chunk_size=CHUNK_BYTES, use_threads=False)
            return
        partial = f"{path}-{uuid4().hex}{PARTIAL}"
        _make_parent(filesystem, path)
        try:
            fs.copy_files(str(local), partial, here, filesystem, chunk_size=CHUNK_BYTES, use_threads=False)
            filesystem.move(partial, path)
        except OSError:
            _delete(filesystem, partial)
            raise

    def _resolve(self, name: str) -> tuple[Any, str]:
        """Return the file system and a path in it."""
        filesystem, root = _connect(self.address)
        return filesystem, "/".join(filter(None, (root.rstrip("/"), self.key, name)))


@cache
def _connect(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path of its files there.

    Raises:
        InputError: there is no such file system, or the address has credentials, which would be printed.
        OSError: it cannot be reached.
    """
    if address.startswith("/"):
        return fs.LocalFileSystem(), address
    scheme = address.partition("://")[0]
    if urlsplit(address).password is not None:
        advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead" if scheme == "s3" else "take it out"
        raise InputError(f"--storage: the address {scheme}://... has a password, which would be printed: {advice}")
    try:
        filesystem, root = fs.FileSystem.from_uri(address)
    except (ArrowInvalid, ValueError, ImportError) as error:
        raise InputError(f"--storage = {address}: not an address of a file system: {first_line(error)}") from error
    if not root:
        raise InputError(f"--storage = {address}: must be {scheme}://BUCKET/PREFIX")
    return filesystem, root


def _make_parent(filesystem: Any, path: str) -> None:
    if filesystem.type_name not in ATOMIC:  # there, folders are parts of names
        filesystem.create_dir(path.rpartition("/")[0], recursive=True)


def _delete(filesystem: Any, path: str) -> None:
    [found] = filesystem.get_file_info([path])
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        if found.type == fs.FileType.File:
            filesystem.delete_file(path)
        elif found.type == fs.FileType.Directory:
            filesystem.delete_dir(path)
