"""Fetching a file so that at its final name there is all of it, verified, or nothing."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from revit.datasets.registry import RemoteFile
from revit.errors import InputError

CHUNK = 1 << 20
TIMEOUT_S = 30


def download(file: RemoteFile, folder: Path, on_progress: Callable[[int, int | None], None]) -> Path:
    """Get a file into a folder, going on where an earlier attempt stopped.

    The bytes so far are kept as NAME.partial; only when the whole has the stated digest is it renamed.

    Args:
        on_progress: told the bytes there are, and the bytes there will be where the server says so.

    Raises:
        InputError: the server cannot be reached, or what it sent has another digest (it is deleted).
    """
    path = folder / file.path
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        _receive(file.url, partial, on_progress)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
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
        raise ConnectionError(f"the server hung up after {have} of {total} bytes; the same command goes on from there")
