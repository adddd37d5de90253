"""A question of somebody else: a study outside of the package, and a config that grows afterwards."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.command_line import ROOT, call_here, where

STUDY = """
from revit.config import FineTuneConfig
from search_spaces.framework import SearchSpace

SPACE = SearchSpace(
    name="parts",
    question="Which part of a ViT should be trained, by which optimizer?",
    base=FineTuneConfig(dataset="digits", resolution=8, batch_size=16, steps=30, num_evals=1),
    scientific={
        "model.trained": ("attention", "mlp"),
        "optimizer.name": ("muon", "sgd"),
    },
    metric="balanced_accuracy",
    seeds=(0,),
)
"""


@pytest.mark.slow
def test_a_study_of_ones_own_is_trained_reported_and_survives_a_new_field(
    ray_cluster: None, one_slot: None, tmp_path: Path
) -> None:
    study = tmp_path / "parts.py"
    study.write_text(STUDY)
    done = call_here("run", str(study), *where(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "balanced accuracy, %" in done.stdout

    reports = tmp_path / "reports"
    done = call_here("report", str(study), *where(tmp_path), "--reports", str(reports))
    assert done.returncode == 0, done.stderr
    cells = pd.read_csv(next(reports.glob("*/cells.csv")))
    assert len(cells) == 4
    assert (cells["low"] < cells["mean"]).all() and (cells["mean"] < cells["high"]).all()

    grown = tmp_path / "grown"
    for name in ("revit", "search_spaces", "study", "run_study.py"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, grown / name)
    add_a_field(grown / "revit" / "config.py")
    plan = subprocess.run(
        [sys.executable, str(grown / "run_study.py"), "plan", str(study), *where(tmp_path)],
        capture_output=True, text=True, timeout=120, check=True, cwd=grown,
        env={**os.environ, "PYTHONPATH": str(grown)},
    )  # fmt: skip
    assert "4 trials, 0 to run" in plan.stdout
    axes = subprocess.run(
        [sys.executable, str(grown / "run_study.py"), "axes"], capture_output=True, text=True, check=True, cwd=grown,
        env={**os.environ, "PYTHONPATH": str(grown)},
    )  # fmt: skip
    assert "sharpness: a number [default: 0.0]" in axes.stdout


def add_a_field(config: Path) -> None:
    """Add a field to the config, as a later version does."""
    text = config.read_text()
    text = re.sub(r"( +)(mixup: alpha of)", r"\1sharpness: of the minimum that is sought.\n\1\2", text, count=1)
    config.write_text(text.replace("    mixup: float", "    sharpness: float = neutral(0.0)\n    mixup: float", 1))
