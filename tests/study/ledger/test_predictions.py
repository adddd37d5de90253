"""Predictions read from the ledger."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import write_study
from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.layout import PREDICTIONS
from study.ledger.predictions import read_correct
from study.plan import Folders

SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=32, steps=5),
    scientific={"optimizer.lr": (0.1,)},
    seeds=(0,),
)


def test_correct_images_are_in_the_order_of_the_image_store(tmp_path: Path, cache_dir: Path) -> None:
    """Rows of the file in another order change nothing."""
    folders = Folders(store=tmp_path / "mlruns", data=tmp_path, cache=cache_dir)
    plan, ledger = write_study(SPACE, SPACE.seeds, folders)
    run_id = plan.trials[0].record.run_id
    path = ledger.artifacts.path(run_id, PREDICTIONS)
    predictions = pd.read_parquet(path).sort_values("index")
    expected = (predictions["label"] == predictions["prediction"]).to_numpy()
    assert 0 < expected.mean() < 1
    predictions.sample(frac=1, random_state=0).to_parquet(path, index=False)
    np.testing.assert_array_equal(read_correct(ledger, run_id), expected)
