"""Waiting, with disks that are really full."""

from pathlib import Path

import pytest

from study.system import retry as patience
from study.system.retry import is_transient, retry_transient


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "MIN_WAIT_S", 0.01)
    monkeypatch.setattr(patience, "MAX_WAIT_S", 0.02)


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
def test_what_does_not_fit_is_written_once_there_is_space(tmp_path: Path) -> None:
    path, logged, tries = tmp_path / "link", [], 0
    path.symlink_to(FULL)

    def write() -> None:
        nonlocal tries
        tries += 1
        if tries == 4:
            path.unlink()  # somebody makes space
        path.write_text("measured")

    retry_transient(write, log=logged.append)
    assert path.read_text() == "measured"
    assert tries == 4
    assert logged == [
        "cannot be written for now: [Errno 28] No space left on device",
        "can be written again; nothing is lost",
    ]


def test_what_never_passes_is_not_waited_for() -> None:
    tries = []

    def write() -> None:
        tries.append(1)
        raise ValueError("no such column")

    with pytest.raises(ValueError, match="no such column"):
        retry_transient(write)
    assert len(tries) == 1


def test_in_a_hurry_nothing_is_waited_for() -> None:
    asked = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 3

    def write() -> None:
        raise PermissionError(13, "read-only")

    with pytest.raises(PermissionError):
        retry_transient(write, should_stop=should_stop)
    assert len(asked) > 3


def test_an_error_that_hides_a_full_disk_may_pass() -> None:
    """torch and safetensors hide it."""
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            raise RuntimeError("enforce fail: unexpected pos 704 vs 598")  # noqa: B904  (torch does it so)
    except RuntimeError as error:
        assert is_transient(error)
    assert is_transient(Exception("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert not is_transient(FileNotFoundError(2, "no such file"))
    assert not is_transient(RuntimeError("shapes differ"))
