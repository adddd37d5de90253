"""Fetching a file, or a folder of files, so that at its final name there is all of it, verified, or nothing."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from revit.datasets.registry import HubDataset, RemoteFile
from revit.errors import InputError, first_line

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

CHUNK = 1 << 20
TIMEOUT_S = 30


def download(file: RemoteFile, folder: Path, on_progress: Callable[[int, int | None], None]) -> Path:
    """Get a file into a folder, going on where an earlier attempt stopped.

    The bytes so far are kept as NAME.partial; only when the whole has the stated digest is it renamed.

    Args:
        on_progress: told the bytes there are, and the bytes there will be where the server says so.

    Raises:
        InputError: the server cannot be reached, the folder cannot be written, or what was sent has another digest
            (it is deleted).
    """
    path = folder / file.path
    partial = path.with_name(path.name + ".partial")
    try:
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        _receive(file.url, partial, on_progress)
    except OSError as error:  # what the network and the disk may do
        raise InputError(f"{file.url} cannot be fetched: {error}") from error
    with partial.open("rb") as content:
        digest = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != file.md5:
        partial.unlink()
        raise InputError(f"{file.url} has the MD5 {digest}, not {file.md5}: what was sent is deleted")
    partial.rename(path)
    return path


def _receive(url: str, partial: Path, on_progress: Callable[[int, int | None], None]) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing after what we have: it was whole already
            return
        raise
    with answer, partial.open("ab" if answer.status == 206 else "wb") as out:
        have = out.tell()
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        while chunk := answer.read(CHUNK):
            out.write(chunk)
            have += len(chunk)
            on_progress(have, total)
    if total is not None and have < total:
        raise ConnectionError(f"the server hung up after {have} of {total} bytes; another attempt resumes there")


def download_from_hub(hub: HubDataset, folder: Path) -> None:
    """Get a dataset's files from the Hugging Face hub into a folder that must not hold anything yet.

    They are collected beside it in NAME.COMMIT.partial, where a later attempt finds those that came whole;
    only when all are there and have the digests that the hub states is that renamed.

    Raises:
        InputError: the hub cannot be reached, the folder cannot be written, or the hub has no such files, or sent
            something else (which is deleted).
    """
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.hf_api import RepoFile

    silence_hub()
    try:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} is there already, but not as this dataset: move it away")
        hub_now = HfApi()
        commit = hub_now.dataset_info(hub.repo, revision=hub.revision).sha
        tree = list(hub_now.list_repo_tree(hub.repo, recursive=True, revision=commit, repo_type="dataset"))
        files = [each for each in tree if isinstance(each, RepoFile) and fnmatchcase(each.path, hub.pattern)]
        if not files:
            raise InputError(f"{hub.repo} has no files {hub.pattern} on {hub.revision}")
        partial = folder.with_name(f"{folder.name}.{commit}.partial")
        snapshot_download(hub.repo, repo_type="dataset", revision=commit, local_dir=partial, allow_patterns=hub.pattern)
    except (HTTPError, OSError) as error:
        raise InputError(f"{hub.repo} cannot be fetched: {first_line(error)}") from error
    for file in files:
        _check_hub_file(partial / file.path, file)
    partial.rename(folder)


def silence_hub() -> None:
    """Keep the hub's client from a line for every retry: what fails in the end is told once."""
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # the hub leaves it so


def _check_hub_file(path: Path, stated: "RepoFile") -> None:
    """Raise InputError, and delete the file, where it is not what the hub states: by SHA-256, or as git counts."""
    if stated.lfs is None:
        content = path.read_bytes()
        expected, kind = stated.blob_id, "git SHA-1"
        digest = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    else:
        expected, kind = stated.lfs.sha256, "SHA-256"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        path.unlink()
        raise InputError(f"{stated.path} has the {kind} {digest}, not {expected}: what was sent is deleted")
