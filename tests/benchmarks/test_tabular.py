"""The grid of our own table: trained once, continued where it stopped, and the file that is committed."""

import itertools
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import tabular
from benchmarks.tabular import AXES, CONFIG, TABLE, train_curve, train_grid
from revit.datasets.image_store import ImageStore
from revit.training.fine_tune import TrialData

SMALL = CONFIG.with_values({"dataset": "digits", "resolution": 8, "steps": 4, "num_evals": 2})
TWO = {"optimizer.lr": (0.01, 0.1)}


def test_a_table_has_a_row_for_every_evaluation(tmp_path: Path) -> None:
    train_grid(tmp_path / "table.parquet", SMALL, TWO)
    table = pd.read_parquet(tmp_path / "table.parquet")
    assert list(zip(table["optimizer.lr"], table["step"], strict=True)) == [(0.01, 2), (0.01, 4), (0.1, 2), (0.1, 4)]
    assert table["val_accuracy"].between(0, 1).all()
    assert "python -m benchmarks.tabular" in table.attrs["command"]


def test_a_table_is_continued_at_the_first_trial_that_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.parquet"
    train_grid(path, SMALL, TWO)
    whole = pd.read_parquet(path)
    whole[:2].to_parquet(path)
    trained = []

    def counting(config, data):
        trained.append(config.optimizer.lr)
        return train_curve(config, data)

    monkeypatch.setattr(tabular, "train_curve", counting)
    train_grid(path, SMALL, TWO)
    assert trained == [0.1]
    pd.testing.assert_frame_equal(pd.read_parquet(path), whole, check_exact=True)


def test_a_trial_that_diverges_has_the_evaluations_before_it(digits: ImageStore) -> None:
    config = SMALL.with_values({"optimizer.lr": 1e15, "optimizer.max_grad_norm": None})
    curve = train_curve(config, TrialData.from_store(config, digits, None))
    assert all(row["step"] < 4 for row in curve)


def test_the_committed_table_is_whole() -> None:
    table = pd.read_parquet(TABLE)
    trials = table.groupby(list(AXES), sort=False)["step"].agg(list)
    assert sorted(trials.index) == sorted(itertools.product(*AXES.values()))
    assert len(trials) == 504
    assert all(steps == list(range(12, 1 + steps[-1], 12)) for steps in trials if steps != [0])
    assert TABLE.stat().st_size < 2e6


def test_the_committed_table_is_what_training_gives(tmp_path: Path) -> None:
    point = {
        "optimizer.name": "adamw",
        "optimizer.lr": 0.003,
        "optimizer.weight_decay": 0.01,
        "schedule.warmup": 0,
        "augmentation": "none",
    }
    train_grid(tmp_path / "table.parquet", axes={axis: (value,) for axis, value in point.items()})
    table = pd.read_parquet(TABLE)
    row = table[(table[list(point)] == pd.Series(point)).all(axis=1)]
    trained = pd.read_parquet(tmp_path / "table.parquet")
    assert row["step"].tolist() == trained["step"].tolist()
    assert row["val_accuracy"].tolist() == pytest.approx(trained["val_accuracy"].tolist(), abs=0.05)  # other processors
