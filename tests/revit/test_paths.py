"""Paths that users give."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from revit.errors import InputError, UnwritableFolderError
from revit.paths import check_regular, check_writable, expand_path


def test_a_path_is_expanded_like_in_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for text in ("~/a/b", "a/b", str(tmp_path / "a" / "b")):
        assert expand_path(Path(text)) == tmp_path / "a" / "b"


@pytest.mark.parametrize("text", ["~nobody-has-this-name/x", "a\0b", "x" * 5000])
def test_an_impossible_path_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="cannot be used") as raised:
        expand_path(Path(text))
    assert str(raised.value).isprintable()


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    check_regular(tmp_path / "file")
    check_regular(tmp_path / "missing")
    for name in ("pipe", "."):
        with pytest.raises(InputError, match="is not a regular file"):
            check_regular(tmp_path / name)


def test_a_writable_folder_is_created_and_left_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b", "store")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_threads_check_one_folder_at_the_same_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: check_writable(tmp_path, "cache"), range(2000)))


@pytest.mark.parametrize("name", ["file", "file/below", "x" * 300, "/".join("a" * 3000)])
def test_a_folder_that_cannot_be_written_is_refused_with_its_role(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableFolderError, match="cannot be written: ") as raised:
        check_writable(tmp_path / name, "cache")
    assert raised.value.role == "cache"
