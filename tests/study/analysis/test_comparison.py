"""Comparison of two versions of a study against the tests of claims, scipy's paired t test, and made-up changes."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.claims import BetterThan
from study.analysis.claim_tests import evaluate_claims
from study.analysis.comparison import SAME_TRIALS, Comparison, Version, cell_values, changed_settings, compare_versions
from study.analysis.contrasts import TrialResult
from study.analysis.verdicts import claim_verdicts
from study.ledger.schema import TRAIN_TIME_S
from study.plan import Folders
from study.staleness import Change
from tests.study.made_plans import BASE, plan_of, record_of

SEEDS = (0, 1, 2, 3)
NUM_TEST = 359
Correct = Mapping[str, npt.NDArray[np.bool_]]


@pytest.fixture
def folders(tmp_path: Path, cache_dir: Path) -> Folders:
    return Folders(store=tmp_path, data=tmp_path, cache=cache_dir)


def predictions(seed: int, config: FineTuneConfig, accuracy: float) -> npt.NDArray[np.bool_]:
    """Return made-up predictions: images of one difficulty in all trials, and noise of their own."""
    difficulty = np.random.default_rng(0).random(NUM_TEST)
    noise = np.random.default_rng([seed, round(1e4 * config.optimizer.lr), round(1e4 * accuracy)]).random(NUM_TEST)
    return np.asarray(0.7 * difficulty + 0.3 * noise < accuracy)


def version_of(
    folders: Folders,
    label: str,
    accuracy: Callable[[FineTuneConfig], float],
    tags: Mapping[str, str] | None = None,
    **changes: Any,
) -> tuple[Version, Correct]:
    """Return a version whose trials have all finished, with the predictions of its runs."""
    changes = {"seeds": SEEDS, **changes}
    correct = {}
    records = {}
    for trial in plan_of(folders, **changes).trials:
        config = trial.candidate.config
        found = predictions(config.seed, config, accuracy(config))
        record = record_of(trial, float(found.mean()), **(tags or {}))
        correct[record.run_id] = found
        records[trial.identity] = record
    plan = plan_of(folders, records, **changes)

    def read_correct(run_ids: Collection[str], split: str) -> dict[str, npt.NDArray[np.bool_]]:
        assert split == "test"
        return {run_id: correct[run_id] for run_id in run_ids}

    return Version(label, plan, records, read_correct, claim_verdicts(plan, records, read_correct)), correct


def test_a_difference_is_that_of_a_claim_on_the_same_trials(folders: Folders) -> None:
    before, correct = version_of(folders, "before", lambda config: 0.6, base=BASE.with_values({"mixup": 0.5}))
    now, correct_now = version_of(folders, "now", lambda config: 0.6 + config.optimizer.lr)
    cells = {cell.cell["optimizer.lr"]: cell for cell in compare_versions(before, now).cells}
    assert set(cells) == {0.1, 0.2}
    for lr, cell in cells.items():
        results = [
            TrialResult(
                point={"version": name}, seed=trial.candidate.config.seed, value=float(found.mean()),
                num_test=NUM_TEST, correct=found, prior_variance=None,
            )
            for name, version, runs in (("before", before, correct), ("now", now, correct_now))
            for trial in version.plan.trials
            if trial.candidate.cell["optimizer.lr"] == lr
            for found in [runs[f"run of {trial.identity}"]]
        ]  # fmt: skip
        [claim] = evaluate_claims(
            [BetterThan(better={"version": "now"}, worse={"version": "before"}, quote="")], results
        )
        assert claim.effect is not None
        assert claim.low is not None
        assert 100 * (cell.effect or 0) == pytest.approx(claim.effect)
        assert 100 * (cell.low or 0) == pytest.approx(claim.low, abs=0.3), "the floor is of all cells"
        assert cell.test == claim.test == "two-way random effects (seed x test image)"
        assert cell.num_seeds == 4
    assert cells[0.2].p_holm is not None
    assert cells[0.2].p_holm < 0.05


def test_p_values_are_corrected_over_the_cells_that_are_compared(folders: Folders) -> None:
    before, _ = version_of(folders, "before", lambda config: 0.6, base=BASE.with_values({"mixup": 0.5}))
    now, _ = version_of(folders, "now", lambda config: 0.6 + config.optimizer.lr / 10)
    p = sorted((cell.p or 0, cell.p_holm or 0) for cell in compare_versions(before, now).cells)
    assert p[0][1] == pytest.approx(min(1, 2 * p[0][0]))
    assert p[1][1] == pytest.approx(max(p[0][1], p[1][0]))


def test_a_metric_that_no_image_changes_has_the_paired_t_test(folders: Folders) -> None:
    times = {"before": [10.0, 14.0, 11.0, 17.0], "now": [12.5, 15.0, 13.5, 18.0]}
    versions = []
    for name, seconds in times.items():
        base = BASE.with_values({"mixup": 0.5 if name == "before" else 0.0})
        version, _ = version_of(folders, name, lambda config: 0.6, base=base, metric="train_time_s")
        trials = [
            dataclasses.replace(
                trial,
                record=dataclasses.replace(trial.record, metrics={TRAIN_TIME_S: seconds[trial.candidate.config.seed]}),
            )
            for trial in version.plan.trials
            if trial.record is not None
        ]
        plan = dataclasses.replace(version.plan, trials=trials)
        versions.append(Version(name, plan, {}, version.read_correct, []))
    cell = compare_versions(*versions).cells[0]
    expected = stats.ttest_rel(times["now"], times["before"])
    assert cell.test == "paired t over seeds"
    assert cell.effect == pytest.approx(1.75)
    assert cell.low is not None
    assert cell.low <= expected.confidence_interval().low, "at least as wide, as few seeds may agree by chance"


def test_only_the_same_test_images_are_paired(folders: Folders) -> None:
    changed = BASE.with_values({"mixup": 0.5})
    now, _ = version_of(folders, "now", lambda config: 0.7)
    widths = []
    for tags in ({}, {"digest.data": "other"}):
        before, _ = version_of(folders, "before", lambda config: 0.6, tags, base=changed)
        [cell, _] = compare_versions(before, now).cells
        widths.append((cell.high or 0) - (cell.low or 0))
    assert widths[1] > 1.5 * widths[0]


def test_the_same_trials_are_said_to_be_the_same(folders: Folders) -> None:
    now, _ = version_of(folders, "now", lambda config: 0.7)
    fewer, _ = version_of(folders, "before", lambda config: 0.7, seeds=(0, 1))
    same = compare_versions(now, now).cells
    assert {(cell.test, cell.effect, cell.p_holm) for cell in same} == {(SAME_TRIALS, 0.0, None)}
    more = compare_versions(fewer, now).cells
    assert {(cell.test, cell.effect) for cell in more} == {(f"{SAME_TRIALS}, and further seeds", None)}


def test_cells_that_one_version_lacks_or_has_no_result_of_are_named(folders: Folders) -> None:
    before, _ = version_of(folders, "before", lambda config: 0.7, scientific={"optimizer.lr": (0.1, 0.3)})
    now, _ = version_of(folders, "now", lambda config: 0.7)
    found = compare_versions(before, now)
    assert (found.only_before, found.only_now) == ([{"optimizer.lr": 0.3}], [{"optimizer.lr": 0.2}])
    never = Version("never", plan_of(folders, seeds=SEEDS), {}, now.read_correct, [])
    assert {cell.test for cell in compare_versions(never, now).cells} == {"no result"}


def test_settings_that_differ_have_the_cells_where_they_do(folders: Folders) -> None:
    base = BASE.with_values({"batch_size": 64, "model.dropout": 0.1})
    before, _ = version_of(folders, "before", lambda config: 0.7, {"digest.data": "other"}, base=base)
    found = changed_settings(before.plan, plan_of(folders, seeds=SEEDS))
    assert [change for change in found if not change.is_input] == [
        Change("model.dropout", "0.1", "0.0"),
        Change("batch_size", "64", "128"),
    ]
    assert [change.name for change in found if change.is_input] == ["data"]
    assert found[Change("batch_size", "64", "128")] == [{"optimizer.lr": 0.1}, {"optimizer.lr": 0.2}]


def test_a_claim_whose_verdict_is_another_one_has_changed(folders: Folders) -> None:
    claim = BetterThan(better={"optimizer.lr": 0.2}, worse={"optimizer.lr": 0.1}, quote="It is.")
    before, _ = version_of(
        folders, "before", lambda config: 0.6, base=BASE.with_values({"mixup": 0.5}), claims=(claim,)
    )
    now, _ = version_of(folders, "now", lambda config: 0.5 + config.optimizer.lr, claims=(claim,))
    [change] = compare_versions(before, now).claims
    assert (change.before.verdict, change.now.verdict, change.has_changed) == ("inconclusive", "supported", True)
    opposite = BetterThan(better={"optimizer.lr": 0.1}, worse={"optimizer.lr": 0.2}, quote="It is not.")
    reworded, _ = version_of(folders, "reworded", lambda config: 0.6, claims=(opposite,))
    assert compare_versions(reworded, now).claims == [], "claims of one version only"
    [same] = compare_versions(now, now).claims
    assert not same.has_changed


def test_versions_with_other_axes_or_metrics_are_refused(folders: Folders) -> None:
    now, _ = version_of(folders, "now", lambda config: 0.7)
    other, _ = version_of(folders, "study other", lambda config: 0.7, scientific={"batch_size": (16, 32)})
    with pytest.raises(InputError, match=r"study other has the axes batch_size, now optimizer.lr: must be the same"):
        compare_versions(other, now)
    loss, _ = version_of(folders, "study loss", lambda config: 0.7, metric="train_time_s")
    with pytest.raises(InputError, match="study loss is about train_time_s, now about accuracy: must be the same"):
        compare_versions(loss, now)


def test_values_of_cells_are_those_of_their_table(folders: Folders) -> None:
    now, _ = version_of(folders, "now", lambda config: 0.7)
    found = cell_values(now.plan)
    assert [(dict(key)["optimizer.lr"], value.num_seeds) for key, value in found.items()] == [(0.1, 4), (0.2, 4)]
    assert isinstance(compare_versions(now, now), Comparison)
