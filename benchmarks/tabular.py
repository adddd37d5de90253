"""A tabular benchmark: every trial of a grid of nano trials, with its validation curve, as one file.

    python -m benchmarks.tabular

A search on the table trains nothing: it looks up what training would have given. Each trial is `fine_tune` on one
thread. A command that is stopped continues at the first trial that the file does not hold; all take half an hour.
"""

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.ratios import environment
from revit.config import FineTuneConfig
from revit.datasets.image_store import open_store
from revit.errors import DivergedError
from revit.models.weights import find_weights
from revit.training.fine_tune import TrialData, fine_tune
from revit.training.train_state import Row, TrainState
from search_spaces.framework.claim_cells import Value

CONFIG = FineTuneConfig(
    dataset="mnist_5k",
    resolution=16,
    crop_scale=(0.6, 1.0),
    hflip=False,
    val_fraction=0.25,
    batch_size=32,
    steps=120,
    num_evals=10,
    test=False,
)
"""Common to all trials: 120 steps, and after every twelfth the accuracy on 1,000 validation images."""
AXES: dict[str, tuple[Value, ...]] = {
    "optimizer.name": ("sgd", "adamw", "lion"),
    "optimizer.lr": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3),
    "optimizer.weight_decay": (0.0, 0.01, 0.1, 1.0),
    "schedule.warmup": (0, 30),
    "augmentation": ("none", "randaugment", "trivialaugment"),
}
"""Axis -> values of the grid."""
TABLE = Path(__file__).parent / "tabular.parquet"
"""One row per trial and evaluation: the axes, then step, val_accuracy (a share), val_loss and train_loss (nats).

The rows of a trial that diverged end before step 120.
"""
MEASURED = ("val_accuracy", "val_loss", "train_loss")


def train_grid(table: Path, config: FineTuneConfig = CONFIG, axes: dict[str, tuple[Value, ...]] = AXES) -> None:
    """Train every trial that the table lacks; write the table after each."""
    torch.set_num_threads(1)
    rows: list[Any] = pd.read_parquet(table).to_dict("records") if table.exists() else []
    trained = {tuple(row[axis] for axis in axes) for row in rows}
    with tempfile.TemporaryDirectory() as name:
        store = open_store(config.dataset, data_dir=Path(name), cache_dir=Path(name))
        data = TrialData.from_store(config, store, find_weights(config.model))
        for values in itertools.product(*axes.values()):
            point = dict(zip(axes, values, strict=True))
            if values not in trained:
                rows += [point | row for row in train_curve(config.with_values(point), data)]
                _write(rows, table)


def train_curve(config: FineTuneConfig, data: TrialData) -> list[dict[str, Any]]:
    """Train one trial; return a row for each of its evaluations."""
    curve: list[dict[str, Any]] = []

    def report(rows: list[Row], _: TrainState) -> None:
        validated = [row for row in rows if "val_accuracy" in row]
        curve.extend({"step": int(row["step"]), **{name: row[name] for name in MEASURED}} for row in validated)

    try:
        fine_tune(config, data, report, device=torch.device("cpu"))
    except DivergedError:
        return curve or [{"step": 0}]
    return curve


def _write(rows: list[dict[str, Any]], table: Path) -> None:
    """Replace the table, so that a command that is killed leaves a whole one."""
    written = table.with_suffix(".new")
    frame = pd.DataFrame(rows)
    frame.attrs = {"command": "python -m benchmarks.tabular", "environment": environment()}
    frame.to_parquet(written, index=False)
    written.replace(table)


def main() -> None:
    """Train the grid."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular", description=__doc__)
    parser.add_argument("--table", type=Path, default=TABLE, help="file to write, or to continue")
    train_grid(parser.parse_args().table)


if __name__ == "__main__":
    main()
