"""Imports of each command."""

import pytest

from benchmarks import commands


@pytest.mark.slow
def test_commands_that_train_nothing_import_neither_torch_nor_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each runs once, to see what it imports, and not once more to be timed."""
    monkeypatch.setattr(commands, "_seconds", lambda *_: 1.0)
    lines = commands.measure(tiny=True)
    assert [line.what for line in lines] == ["run of a finished study", "plan", "list", "--help"]
    assert [line.ratio for line in lines] == [1.0] * 4
    imported = [line.details.rpartition("it imports ")[2] for line in lines]
    assert imported == ["mlflow", "mlflow", "none", "none"]
