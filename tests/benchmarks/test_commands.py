"""Each command once: it says nothing about speed, but what is imported shows."""

import math

import pytest

from benchmarks.commands import measure


@pytest.mark.slow
def test_commands_that_train_nothing_import_neither_torch_nor_ray() -> None:
    lines = measure(tiny=True)
    assert [line.what for line in lines] == ["run of a finished study", "plan", "list", "--help"]
    assert all(0 < line.ratio < math.inf for line in lines)
    imported = [line.details.rpartition("it imports ")[2] for line in lines]
    assert imported == ["mlflow", "mlflow", "none", "none"]
