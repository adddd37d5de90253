"""Commands that only read create no store, and print which one they use."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from study.cli.main import main
from study.ledger.ledger import Ledger


def exit_code(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["run_study.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.parametrize("command", ["plan", "report", "doctor", "prune", "ui"])
def test_a_command_that_only_reads_creates_no_store(
    command: str,
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REVIT_STORE", raising=False)
    monkeypatch.setenv("REVIT_CACHE_DIR", str(cache_dir))
    code = exit_code([command, *(["quickstart"] if command in ("plan", "report") else [])], monkeypatch)
    printed = capsys.readouterr()
    assert str(tmp_path / "mlruns") in printed.out + printed.err
    assert (code == 2) == (command in ("report", "ui"))
    assert not list(tmp_path.iterdir())


def test_the_store_is_printed_first(
    tmp_path: Path,
    cache_dir: Path,
    new_ledger: Callable[[Path], Ledger],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = tmp_path / "mlruns"
    new_ledger(store)
    assert exit_code(["plan", "quickstart", "--store", str(store), "--cache-dir", str(cache_dir)], monkeypatch) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"store: {store}"
