"""Verdicts on a study's claims, read from a store of made-up results."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import search_spaces
from benchmarks.report import write_study
from revit.config import FineTuneConfig
from search_spaces.framework.claims import BetterThan
from search_spaces.framework.space import SearchSpace
from study.analysis.results import reported_trials
from study.analysis.verdicts import claim_verdicts, pooled_variances, trial_results
from study.ledger.ledger import Ledger
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders, Plan

AXES = ["resolution", "model.pos_embed"]
SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=32, steps=5),
    scientific={"resolution": (8, 28), "model.pos_embed": ("learned", "none")},
    seeds=(0, 1),
    claims=(BetterThan(better={"resolution": 28}, worse={"resolution": 8}, quote=""),),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> tuple[Plan, Ledger]:
    root = tmp_path_factory.mktemp("verdicts")
    return write_study(SPACE, SPACE.seeds, Folders(store=root / "mlruns", data=root, cache=cache_dir))


def test_a_result_has_the_predictions_of_its_trial(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    trials = reported_trials(plan)
    results = trial_results(plan, ledger.trials(), ledger.artifacts.read_correct)
    assert len(results) == 8
    for trial, result in zip(trials, results, strict=True):
        assert result.point == trial.candidate.point
        assert len(result.correct) == result.num_test == 359
        assert result.correct.mean() == pytest.approx(result.value)
        assert result.prior_variance is None, "two seeds have a variance of their own"


def test_one_seed_has_the_variance_pooled_over_the_ledger(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    records, read = ledger.trials(), ledger.artifacts.read_correct
    first_seed = [trial for trial in plan.trials if trial.candidate.config.seed == 0]
    one_seed = trial_results(Plan(space=plan.space, trials=first_seed), records, read)
    rows = [(*each.point.values(), each.value) for each in trial_results(plan, records, read)]
    variance_by_cell = pd.DataFrame(rows, columns=[*AXES, "accuracy"]).groupby(AXES)["accuracy"].var()
    assert len(one_seed) == 4
    [prior] = {result.prior_variance for result in one_seed}
    assert prior == pytest.approx((variance_by_cell.mean(), 4))


def test_the_effect_of_a_claim_is_the_difference_of_its_means(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    [(ours, published)] = claim_verdicts(plan, ledger.trials(), ledger.artifacts.read_correct)
    rows = [(trial.candidate.config.resolution, trial.record.metrics["test_accuracy"]) for trial in plan.trials]
    means = pd.DataFrame(rows, columns=["resolution", "accuracy"]).groupby("resolution")["accuracy"].mean()
    assert ours.effect == pytest.approx(100 * (means[28] - means[8]))
    assert ours.num_seeds == 2
    assert published is None, "the study is not the paper's"


def unread(run_ids: Collection[str], split: str) -> dict[str, np.ndarray]:
    raise AssertionError(f"predictions of {run_ids} are read")


@pytest.mark.parametrize(
    ("scale", "caveat"), [("nano", "not of this scale: not comparable"), ("paper", "no result for dataset cifar10")]
)
def test_published_accuracies_are_matched_only_at_the_papers_scale(scale: str, caveat: str) -> None:
    nothing = Plan(space=search_spaces.load("replication").variant(scale=scale), trials=())
    [(ours, published)] = claim_verdicts(nothing, {}, unread)
    assert ours.verdict == "inconclusive"
    assert ours.caveats.endswith(caveat)
    assert published is not None


def test_claims_are_stated_in_the_terms_of_the_tables() -> None:
    nothing = Plan(space=search_spaces.load("resolution").variant(scale="nano"), trials=())
    ours, published = claim_verdicts(nothing, {}, unread)[1]
    assert str(ours.claim) == "resolution 28 has the highest accuracy of 64, 48, 28, 16, 8, where dataset photos"
    assert ours.caveats == "no result for dataset photos, resolution 28"
    assert published is not None
    assert str(published.claim).startswith("resolution 224 has the highest"), "the paper's own terms"


def test_without_claims_no_predictions_are_read(finished: tuple[Plan, Ledger]) -> None:
    plan, _ = finished
    without_claims = SearchSpace(name="plain", question="?", base=SPACE.base, scientific=SPACE.scientific)
    assert claim_verdicts(Plan(space=without_claims, trials=plan.trials), {}, unread) == []


def record(accuracy: float, seed: int, **differs: Any) -> TrialRecord:
    params = {"dataset": "digits", "model.name": "vit_nano", "steps": "5", "seed": str(seed)}
    tags = {"digest.data": "0", "study.x": "yes"}
    return TrialRecord(
        run_id="r",
        identity="i",
        state=differs.pop("state", TrialState.FINISHED),
        last_step=5,
        metrics={"test_accuracy": accuracy},
        params={**params, **{name.replace("__", "."): value for name, value in differs.items() if name != "data"}},
        tags={**tags, "digest.data": differs.get("data", "0"), f"launch {seed}": str(seed)},
    )


def test_it_is_pooled_over_trials_that_differ_only_by_seed() -> None:
    records = [
        record(0.90, 0), record(0.92, 1),
        record(0.80, 0, steps="9"), record(0.80, 1, steps="9"), record(0.83, 2, steps="9"),
        record(0.10, 0, data="other"),
        record(0.10, 3, state=TrialState.DIVERGED),
        record(0.50, 0, dataset="photos"),
        record(0.50, 0, model__name="bit"), record(0.54, 1, model__name="bit"),
    ]  # fmt: skip
    found = pooled_variances(records)
    assert set(found) == {("digits", "vit_nano"), ("digits", "bit")}
    assert found["digits", "vit_nano"] == pytest.approx(((2 * 0.01**2 + 6e-4) / 3, 3))
    assert math.sqrt(found["digits", "bit"].variance) == pytest.approx(0.04 / math.sqrt(2))


def test_single_seeds_have_no_variance() -> None:
    assert pooled_variances([record(0.9, 0), record(0.8, 0, steps="9")]) == {}
