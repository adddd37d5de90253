"""Verified downloads: a file appears under its name only when it is complete."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from revit.datasets.dataset_spec import HubDataset, RemoteFile
from revit.errors import InputError, first_line

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 30


def download(file: RemoteFile, folder: Path, on_progress: Callable[[int, int | None], None]) -> Path:
    """Download a file into a folder, resuming an earlier attempt.

    The bytes so far are kept as NAME.partial, which is renamed once its digest is right.

    Args:
        on_progress: called with the bytes so far, and with the total if the server states it.

    Raises:
        InputError: the server cannot be reached, the folder cannot be written, or the digest is wrong (the file is
            then deleted).
    """
    path = folder / file.path
    partial = path.with_name(path.name + ".partial")
    try:
        if path.exists():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        _receive(file.url, partial, on_progress)
    except OSError as error:  # of the network or the disk
        raise InputError(f"{file.url} cannot be fetched: {error}") from error
    algorithm, published = file.checksum
    digest = digest_of(partial, algorithm)
    if digest != published:
        partial.unlink()
        raise InputError(f"{file.url} has the {algorithm.upper()} {digest}, not {published}: the download was deleted")
    partial.rename(path)
    return path


def digest_of(path: Path, algorithm: str) -> str:
    """Return the digest of a file by an algorithm of hashlib."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _receive(url: str, partial: Path, on_progress: Callable[[int, int | None], None]) -> None:
    num_bytes = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={num_bytes}-"} if num_bytes else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the partial file is complete already
            return
        raise
    with response, partial.open("ab" if response.status == 206 else "wb") as out:
        num_bytes = out.tell()
        length = response.headers.get("Content-Length")
        total = None if length is None else num_bytes + int(length)
        while chunk := response.read(CHUNK_BYTES):
            out.write(chunk)
            num_bytes += len(chunk)
            on_progress(num_bytes, total)
    if total is not None and num_bytes < total:
        raise ConnectionError(
            f"the connection was closed after {num_bytes} of {total} bytes; another attempt resumes there"
        )


def download_from_hub(hub: HubDataset, folder: Path) -> None:
    """Download a dataset from the Hugging Face hub into an empty or new folder.

    Files are collected in NAME.COMMIT.partial, where a later attempt finds the complete ones. The folder is renamed
    once every file has the digest that the hub states.

    Raises:
        InputError: the hub cannot be reached, the folder cannot be written or is not empty, the hub has no such
            files, or a digest is wrong (the file is then deleted).
    """
    from httpx2 import HTTPError
    from huggingface_hub import HfApi

    silence_hub()
    try:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} exists, but does not hold this dataset: move it away")
        api = HfApi()
        commit = api.dataset_info(hub.repo, revision=hub.revision).sha
        partial = folder.with_name(f"{folder.name}.{commit}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        api.snapshot_download(
            hub.repo, repo_type="dataset", revision=commit, local_dir=partial, allow_patterns="*.parquet"
        )
        checked = api.verify_repo_checksums(hub.repo, repo_type="dataset", revision=commit, local_dir=partial)
    except (HTTPError, OSError) as error:
        raise InputError(f"{hub.repo} cannot be fetched: {first_line(error)}") from error
    if checked.checked_count == 0:
        raise InputError(f"{hub.repo} has no files *.parquet on {hub.revision}")
    for wrong in checked.mismatches:
        (partial / wrong["path"]).unlink()
        digests = f"{wrong['algorithm']} {wrong['actual']}, not {wrong['expected']}"
        raise InputError(f"{wrong['path']} has the {digests}: the download was deleted")
    partial.rename(folder)


def silence_hub() -> None:
    """Silence the hub's client, which logs every retry; the last error is raised."""
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # untyped in huggingface_hub
