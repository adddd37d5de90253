import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from revit.datasets.dataset_spec import RemoteFile
from revit.download import download
from revit.errors import InputError

CONTENT = bytes(range(256)) * 5000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


def quiet(num_bytes: int, total: int | None) -> None:
    pass


def test_a_download_is_complete_and_its_progress_ends_at_its_size(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve({"/images.gz": CONTENT})
    seen: list[tuple[int, int | None]] = []
    file = RemoteFile(url=f"{site.url}/images.gz", path="set/images.gz", md5=MD5)
    path = download(file, tmp_path, lambda num_bytes, total: seen.append((num_bytes, total)))
    assert path == tmp_path / "set" / "images.gz"
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [each.name for each in path.parent.iterdir()] == ["images.gz"]
    download(file, tmp_path, quiet)
    assert len(site.requests) == 1, "a file that exists is not requested again"


def test_an_interrupted_download_resumes(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve({"/images.gz": CONTENT}, break_off_after=100_000)
    file = RemoteFile(url=f"{site.url}/images.gz", path="images.gz", md5=MD5)
    with pytest.raises(InputError, match=r"images\.gz .*"):
        download(file, tmp_path, quiet)
    assert not (tmp_path / "images.gz").exists()
    kept = (tmp_path / "images.gz.partial").stat().st_size
    assert 0 < kept < len(CONTENT)
    site.break_off_after = None
    assert download(file, tmp_path, quiet).read_bytes() == CONTENT
    assert site.requests[-1] == ("GET", "/images.gz", f"bytes={kept}-")


def test_a_server_without_ranges_sends_the_whole_file_again(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve({"/images.gz": CONTENT}, ranges=False)
    (tmp_path / "images.gz.partial").write_bytes(b"an earlier try")
    file = RemoteFile(url=f"{site.url}/images.gz", path="images.gz", md5=MD5)
    assert download(file, tmp_path, quiet).read_bytes() == CONTENT


def test_a_complete_partial_file_is_used(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve({"/images.gz": CONTENT})
    (tmp_path / "images.gz.partial").write_bytes(CONTENT)
    file = RemoteFile(url=f"{site.url}/images.gz", path="images.gz", md5=MD5)
    assert download(file, tmp_path, quiet).read_bytes() == CONTENT


def test_a_wrong_digest_deletes_the_file_and_names_both_digests(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve({"/images.gz": b"an error page"})
    file = RemoteFile(url=f"{site.url}/images.gz", path="images.gz", md5=MD5)
    got = hashlib.md5(b"an error page", usedforsecurity=False).hexdigest()
    with pytest.raises(InputError, match=rf"{got}, not {MD5}: the download was deleted"):
        download(file, tmp_path, quiet)
    assert list(tmp_path.iterdir()) == []


def test_failed_requests_are_one_line_errors(serve: Callable[..., Any], tmp_path: Path, free_port: int) -> None:
    site = serve({})
    for url in (f"http://127.0.0.1:{free_port}/x", f"{site.url}/x"):
        with pytest.raises(InputError, match=r"^http://127.* cannot be fetched: [^\n]+$"):
            download(RemoteFile(url=url, path="x", md5=MD5), tmp_path, quiet)
    assert not (tmp_path / "x").exists()
