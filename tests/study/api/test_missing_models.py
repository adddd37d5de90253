"""Models of trials that finished before their study kept them."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study import api
from study.execution.resources import ResourceRequest
from study.kept_models import best_trial
from study.layout import MODEL, PREDICTIONS
from study.ledger.ledger import Ledger
from study.plan import Folders, Plan

SPACE = SearchSpace(
    name="example",
    question="Which seed is the best?",
    base=FineTuneConfig(
        dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=12, val_fraction=0.1
    ),
    scientific={"optimizer.lr": (0.01,)},
    seeds=(0, 1, 2),
)


def run(space: SearchSpace, folders: Folders, *, missing_models: bool = False) -> tuple[Plan, Ledger]:
    """Run a space as the command does; return its plan afterwards."""
    plans, ledger, _ = api.prepare_run([space], folders, ResourceRequest(), missing_models=missing_models)
    api.run_plans(plans, ledger)
    return plans[0].with_records(ledger.trials()), ledger


def kept(plan: Plan, ledger: Ledger) -> list[int]:
    trials = [each for each in plan.trials if each.record and ledger.artifacts.has(each.record.run_id, MODEL)]
    return [each.candidate.config.seed for each in trials]


def predictions(plan: Plan, ledger: Ledger) -> pd.DataFrame:
    records = [trial.record for trial in plan.trials if trial.record is not None]
    return pd.concat([pd.read_parquet(ledger.artifacts.path(record.run_id, PREDICTIONS)) for record in records])


def test_a_model_that_is_kept_too_late_comes_from_the_same_training_in_the_same_run(
    ray_cluster: None, one_slot: None, tmp_path: Path, cache_dir: Path
) -> None:
    folders = api.make_folders(tmp_path / "mlruns", tmp_path, cache_dir=cache_dir)
    before, ledger = run(replace(SPACE, keep_models="none"), folders)
    assert (kept(before, ledger), api.describe_missing_models(before, ledger)) == ([], [])
    answers = predictions(before, ledger)
    space = replace(SPACE, keep_models="best")
    same, _ = run(space, folders)
    assert [each.record for each in same.trials] != [None] * 3
    assert kept(same, ledger) == [], "nothing is trained again unless it is asked for"
    assert api.describe_missing_models(same, ledger) == [
        "example: missing models: 1, of trials that finished before keep_models = 'best'; "
        "`run example --missing-models` trains these again"
    ]
    after, _ = run(space, folders, missing_models=True)
    best = best_trial(after.trials, "accuracy")
    assert best is not None and best.record is not None
    assert (kept(after, ledger), api.describe_missing_models(after, ledger)) == ([best.candidate.config.seed], [])
    timed = ("train_time_s", "images_per_s", "peak_memory")
    for old, new in zip(before.trials, after.trials, strict=True):
        assert old.record is not None and new.record is not None
        assert (old.record.run_id, old.record.start_s) == (new.record.run_id, new.record.start_s)
        values = {
            name: (value, new.record.metrics[name])
            for name, value in old.record.metrics.items()
            if not any(text in name for text in timed)
        }
        assert all(one == other for one, other in values.values())
    pd.testing.assert_frame_equal(predictions(after, ledger), answers, check_exact=True)
