"""Studies about other metrics than accuracy: values, intervals, verdicts, and how often intervals cover."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from benchmarks.report import write_study
from revit.config import FineTuneConfig
from revit.training.metrics import METRICS, Predictions, bootstrap, value_of
from search_spaces.framework import BetterThan, NoDifference, SearchSpace, Trend
from study import api
from study.analysis.claim_tests import ClaimResult, evaluate_claims
from study.analysis.contrasts import (
    TrialResult,
    estimate_contrast,
    group_by_point,
    paired_variance,
    weighted_cells,
)
from study.analysis.intervals import (
    LEVEL,
    bootstrap_half_widths,
    image_half_widths,
    interval_of,
    intervals_note,
    median_variance,
)
from study.analysis.measured import BOOTSTRAP_SEED, NUM_REPLICATES, measure
from study.analysis.results import cell_table
from study.analysis.verdicts import claim_verdicts
from study.plan import Folders, Plan
from tests.study.analysis.claim_frames import STEADY, matches
from tests.study.made_plans import plan_of, record_of, searched, space_of
from tests.study.report.small_study import finish

SPACE = SearchSpace(
    name="measured",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=5),
    scientific={"resolution": (8, 28)},
    seeds=(0, 1, 2),
    claims=(BetterThan(better={"resolution": 28}, worse={"resolution": 8}, quote=""),),
    metric="balanced_accuracy",
)
A_BETTER = BetterThan(better={"arm": "a"}, worse={"arm": "b"}, quote="")


def drawn(seed: int, num_images: int = 300, num_classes: int = 4) -> Predictions:
    """Return made-up predictions."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, num_classes, num_images)
    prediction = np.where(rng.random(num_images) < 0.8, label, rng.integers(0, num_classes, num_images))
    return Predictions(
        index=np.arange(num_images), label=label, prediction=prediction,
        confidence=rng.random(num_images).astype(np.float32), loss=rng.random(num_images).astype(np.float32),
        rank=rng.integers(0, 9, num_images),
    )  # fmt: skip


@dataclass
class Reader:
    """Reads made-up predictions, another for each run; counts what is read."""

    read: list[tuple[str, Sequence[str], str]] = field(default_factory=list)

    def __call__(self, run_id: str, names: Sequence[str], split: str) -> Predictions:
        self.read.append((run_id, names, split))
        return drawn(int(run_id, 16))


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.of_predictions])
def test_a_metric_needs_the_columns_that_it_names(name: str) -> None:
    everything = drawn(0)
    needed = {"index", "label", *METRICS[name].columns}
    empty = {each.name: np.array([]) for each in fields(Predictions) if each.name not in needed}
    assert value_of(name, replace(everything, **empty)) == value_of(name, everything)


def test_a_study_about_accuracy_reads_nothing() -> None:
    reader = Reader()
    plan = finish(replace(SPACE, metric="accuracy"), SPACE.seeds, [0.5] * 6)
    assert measure(plan, reader) == plan
    assert reader.read == []


def test_values_that_were_not_logged_come_from_predictions_read_once() -> None:
    reader = Reader()
    plan = finish(SPACE, SPACE.seeds, [0.5] * 6)
    twice = Plan(space=plan.space, trials=[*plan.trials, *plan.trials])
    measured = measure(twice, reader)
    assert [each[1:] for each in reader.read] == [(("prediction",), "test")] * 6
    for trial in measured.trials:
        predictions = drawn(int(trial.record.run_id, 16))
        assert trial.record.metrics["test_balanced_accuracy"] == value_of("balanced_accuracy", predictions)
        expected = bootstrap("balanced_accuracy", predictions, NUM_REPLICATES, BOOTSTRAP_SEED)
        np.testing.assert_array_equal(trial.replicates, expected)


def test_a_logged_value_is_kept() -> None:
    plan = finish(SPACE, (0,), [0.5, 0.5])
    record = replace(plan.trials[0].record, metrics={"test_balanced_accuracy": 0.123})
    [trial] = measure(replace(plan, trials=[replace(plan.trials[0], record=record)]), Reader()).trials
    assert trial.record.metrics["test_balanced_accuracy"] == 0.123


def fails(error: Exception, split: str = "test") -> Callable[[str, Sequence[str], str], Predictions]:
    def read(run_id: str, names: Sequence[str], asked: str) -> Predictions:
        if asked != split:
            return drawn(0)
        raise error

    return read


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(), "without predictions"),
        (ValueError("not a parquet file"), "without predictions"),
        (KeyError("rank"), "without predictions: rank"),
    ],
)
def test_a_trial_without_the_metric_is_missing_with_its_reason(error: Exception, reason: str) -> None:
    plan = measure(finish(SPACE, SPACE.seeds, [0.5] * 6), fails(error))
    cells = cell_table(plan)
    assert cells["n"].tolist() == [0, 0]
    assert cells["missing"].tolist() == [f"3 {reason}"] * 2
    assert claim_verdicts(plan, {}, unread)[0].ours.caveats.startswith("no result for resolution")
    assert not measure(plan.with_records({}), Reader()).trials[0].unmeasured


def unread(run_ids: Collection[str], split: str) -> dict[str, np.ndarray]:
    raise AssertionError(f"predictions of {run_ids} are read again")


def test_a_measure_that_was_not_logged_is_missing() -> None:
    plan = finish(replace(SPACE, metric="peak_memory_bytes"), SPACE.seeds, [0.5] * 6)
    assert cell_table(measure(plan, unread))["missing"].tolist() == ["3 without peak_memory_bytes"] * 2


def with_metrics(plan: Plan, values: Sequence[dict[str, float]]) -> Plan:
    trials = [
        replace(trial, record=replace(trial.record, metrics={**trial.record.metrics, **metrics}))
        for trial, metrics in zip(plan.trials, values, strict=True)
    ]
    return replace(plan, trials=trials)


def test_a_tested_trial_of_a_search_has_no_validation_predictions(folders: Folders) -> None:
    """Its validation images were trained on. What the search compares is not read again."""
    space = space_of(nuisance={"optimizer.momentum": (0.5, 0.9)}, metric="macro_f1")
    records = searched(space, folders, lambda config: config.optimizer.momentum)
    plan = plan_of(folders, records, nuisance=space.nuisance, metric="macro_f1")
    done = {each.identity: replace(record_of(each), run_id="7", metrics={}) for each in plan.trials}
    reader = Reader()
    measured = measure(plan.with_records(records | done), reader)
    assert [each[1:] for each in reader.read] == [(("prediction",), "test")] * 4
    assert cell_table(measured)["n"].tolist() == [2, 2]
    assert cell_table(measured)["optimizer.momentum"].tolist() == [0.9, 0.9]


def test_a_cell_has_percentile_limits_over_images_and_t_over_seeds() -> None:
    plan = measure(finish(SPACE, SPACE.seeds, [0.5] * 6), Reader())
    cells = cell_table(plan)
    by_cell = [[trial for trial in plan.trials if trial.candidate.cell["resolution"] == each] for each in (8, 28)]
    values = [[trial.record.metrics["test_balanced_accuracy"] for trial in trials] for trials in by_cell]
    for row, trials, by_seed in zip(cells.to_dict("records"), by_cell, values, strict=True):
        replicates = np.mean([trial.replicates for trial in trials], axis=0)
        low, high = np.quantile(replicates, (0.025, 0.975)) - replicates.mean()
        expected = interval_of(by_seed, (-low, high), median_variance(values), (0.0, 1.0))
        assert row["mean"] == pytest.approx(np.mean(by_seed))
        assert (row["low"], row["high"]) == pytest.approx(expected)
        assert row["interval"] == "over seeds and test images"
    one_seed = measure(finish(SPACE, (0,), [0.5] * 2), Reader())
    assert set(cell_table(one_seed)["interval"]) == {"over test images, 1 seed"}


def test_what_is_measured_while_training_has_an_interval_over_seeds_only() -> None:
    space = replace(SPACE, metric="train_time_s")
    times = [{"train_time_s": value} for value in (10.0, 20.0, 10.1, 20.1, 10.2, 20.3)]
    plan = measure(with_metrics(finish(space, SPACE.seeds, [0.5] * 6), times), unread)
    row = cell_table(plan).iloc[0]
    margin = 4.3026527 * np.std([10, 10.1, 10.2], ddof=1) / math.sqrt(3)
    assert row["interval"] == "over seeds"
    assert row["low"] <= 10.1 - margin + 1e-6
    assert row["high"] - row["low"] < 4 * margin, "no part of images, only the floor of the seeds"
    [(ours, _)] = claim_verdicts(plan, {}, unread)
    assert (ours.verdict, ours.test) == ("contradicted", "paired t over seeds"), "less time is better"
    alone = measure(with_metrics(finish(space, (0,), [0.5] * 2), times[:2]), unread)
    assert cell_table(alone)["interval"].tolist() == ["needs 3 seeds"] * 2
    assert intervals_note(METRICS["train_time_s"]).startswith("95 % intervals are over seeds:")


def results(values: dict[str, Sequence[float]]) -> list[TrialResult]:
    return [
        TrialResult(point={"arm": arm}, seed=seed, value=value, num_test=100, correct=None, prior_variance=None)
        for arm, by_seed in values.items()
        for seed, value in enumerate(by_seed)
    ]


BYTES = {"a": (1000.0, 1010.0, 990.0), "b": (2000.0, 2010.0, 1995.0)}


def evaluate(claim: object, name: str) -> ClaimResult:
    (result,) = evaluate_claims((claim,), results(BYTES), metric=METRICS[name])
    return result


def test_better_is_less_where_less_is_better() -> None:
    less, more = evaluate(A_BETTER, "peak_memory_bytes"), evaluate(A_BETTER, "train_images_per_s")
    assert (less.verdict, more.verdict) == ("supported", "contradicted")
    assert less.effect == pytest.approx(1001.67, abs=0.01), "in bytes, positive as claimed"
    assert more.effect == pytest.approx(-less.effect)


def test_margins_are_in_the_metrics_unit() -> None:
    a_far_better = BetterThan(better={"arm": "a"}, worse={"arm": "b"}, at_least=900, quote="")
    assert evaluate(a_far_better, "peak_memory_bytes").verdict == "supported"
    assert evaluate(replace(a_far_better, at_least=1100), "peak_memory_bytes").verdict == "contradicted"
    alike = NoDifference(axis="arm", among=("a", "b"), margin=1100, quote="")
    assert evaluate(alike, "peak_memory_bytes").verdict == "supported"


@pytest.mark.parametrize("name", ["peak_memory_bytes", "train_images_per_s", "eval_images_per_s"])
def test_a_trend_is_about_the_value_whichever_is_better(name: str) -> None:
    rising = Trend(axis="arm", direction="increasing", values=("a", "b"), quote="")
    assert evaluate(rising, name).verdict == "supported"
    assert evaluate(replace(rising, direction="decreasing"), name).verdict == "contradicted"


def test_published_accuracies_are_compared_with_accuracies_only() -> None:
    with pytest.raises(ValueError, match=r"claim 'accuracy of arm a is as published.*metric is loss"):
        replace(SPACE, scientific={"arm": {"a": {"resolution": 8}}}, claims=(matches(a=90.0),), metric="loss")


def result_of(arm: str, seed: int, predictions: Predictions, name: str) -> TrialResult:
    return TrialResult(
        point={"arm": arm}, seed=seed, value=value_of(name, predictions), num_test=len(predictions.label), correct=None,
        replicates=bootstrap(name, predictions, NUM_REPLICATES, BOOTSTRAP_SEED), prior_variance=STEADY,
    )  # fmt: skip


def test_the_bootstrap_of_accuracy_agrees_with_its_closed_forms() -> None:
    """A contrast has McNemar's variance; a cell has Clopper and Pearson's limits."""
    one, other = drawn(0, 2000), replace(drawn(0, 2000), prediction=drawn(1, 2000).prediction)
    copied = replace(METRICS["accuracy"], is_change=True)  # of no closed form
    trials = [result_of(arm, 0, each, "accuracy") for arm, each in {"a": one, "b": other}.items()]
    [contrast] = A_BETTER.contrasts
    estimate = estimate_contrast(weighted_cells(contrast, group_by_point(trials)), {}, copied)
    expected = paired_variance(np.array([1.0, -1.0]), np.array([[one.is_correct], [other.is_correct]]))
    assert estimate.image_variance == pytest.approx(expected, rel=0.1)
    assert estimate.test == "bootstrap over test images, 1 seed"
    exact = image_half_widths(trials[0].value, 2000, LEVEL / 2)
    assert bootstrap_half_widths(trials[0].replicates, LEVEL / 2) == pytest.approx(exact, rel=0.1)


# Coverage: balanced accuracy of classes with known recall, 40 to 400 images each

RECALLS, SHARES, SEED_SD = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.5, 0.25, 0.15, 0.1]), 0.01


def simulate(rng: np.random.Generator, num_images: int, num_seeds: int) -> tuple[list[list[Predictions]], np.ndarray]:
    """Return the predictions of two arms with the same expected recalls, by seed, and seeds' true values (2, S)."""
    label = rng.choice(len(RECALLS), num_images, p=SHARES)
    image = rng.standard_normal(num_images)
    shifts = SEED_SD * rng.standard_normal((2, num_seeds))
    arms = [[_predict(rng, label, image, shift) for shift in by_seed] for by_seed in shifts]
    return arms, RECALLS.mean() + shifts


def _predict(rng: np.random.Generator, label: np.ndarray, image: np.ndarray, shift: float) -> Predictions:
    """Return predictions that agree between trials, as an image's difficulty is the same in all of them."""
    score = math.sqrt(0.7) * image + math.sqrt(0.3) * rng.standard_normal(len(image))
    is_correct = score < special.ndtri(RECALLS[label] + shift)
    return replace(
        drawn(0, len(label)), label=label, prediction=np.where(is_correct, label, (label + 1) % len(RECALLS))
    )


def coverage(num_images: int, num_seeds: int, num_draws: int) -> tuple[float, float]:
    """Return how often the intervals of a cell and of a contrast cover the true values."""
    rng, covered = np.random.default_rng(0), []
    name = "balanced_accuracy"
    for _ in range(num_draws):
        arms, truths = simulate(rng, num_images, num_seeds)
        trials = [
            result_of(arm, seed, each, name)
            for arm, by_seed in zip("ab", arms, strict=True)
            for seed, each in enumerate(by_seed)
        ]
        by_arm = [trials[:num_seeds], trials[num_seeds:]]
        prior = median_variance([[trial.value for trial in own] for own in by_arm])
        images = bootstrap_half_widths(np.mean([trial.replicates for trial in by_arm[0]], axis=0), LEVEL / 2)
        low, high = interval_of([trial.value for trial in by_arm[0]], images, prior, (0.0, 1.0))
        truth = truths[0, 0] if num_seeds == 1 else RECALLS.mean()
        known = STEADY._replace(variance=SEED_SD**2)
        trials = [replace(trial, prior_variance=known) for trial in trials]
        (result,) = evaluate_claims((A_BETTER,), trials, metric=METRICS[name])
        covered.append((low <= truth <= high, result.low <= 0 <= result.high))
    in_cell, in_contrast = np.mean(covered, axis=0)
    return in_cell, in_contrast


@pytest.mark.parametrize(("num_seeds", "num_draws"), [(1, 300), (3, 120)])
def test_intervals_of_balanced_accuracy_cover(num_seeds: int, num_draws: int) -> None:
    assert min(coverage(400, num_seeds, num_draws)) >= 0.93


@pytest.mark.long
@pytest.mark.parametrize("num_seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("num_images", [200, 400, 4000])
def test_intervals_of_balanced_accuracy_cover_in_many_draws(num_images: int, num_seeds: int) -> None:
    assert min(coverage(num_images, num_seeds, num_draws=2000)) >= 0.93


def test_a_study_in_a_store_gets_a_verdict_on_its_metric(tmp_path: Path, cache_dir: Path) -> None:
    plan, ledger = write_study(SPACE, SPACE.seeds, Folders(store=tmp_path / "m", data=tmp_path, cache=cache_dir))
    measured = measure(plan, ledger.artifacts.read_predictions)
    [(ours, published)] = claim_verdicts(measured, ledger.trials(), unread)
    means = cell_table(measured)["mean"]
    assert ours.effect == pytest.approx(100 * (means[1] - means[0]))
    assert ours.test == "paired t over seeds, bootstrap over test images"
    assert published is None


def test_claims_of_a_study_in_a_store_may_be_about_other_metrics(tmp_path: Path, cache_dir: Path) -> None:
    arms = {"better": {"resolution": 28}, "worse": {"resolution": 8}, "quote": ""}
    claims = (
        BetterThan(**arms, metric="accuracy"),
        BetterThan(**arms, metric="loss"),
        BetterThan(**arms, metric="train_time_s", relative=True),
        BetterThan(**arms, metric="pos_embed_correlation"),  # which these trials did not log
    )
    space = replace(SPACE, claims=claims)
    plan, ledger = write_study(space, SPACE.seeds, Folders(store=tmp_path / "m", data=tmp_path, cache=cache_dir))
    measured = measure(plan, ledger.artifacts.read_predictions)
    records = ledger.trials()
    found = [ours for ours, _ in api.claim_verdicts(measured, ledger, records)]
    by_resolution = [
        [each.metrics for each in records.values() if each.params["resolution"] == side] for side in ("28", "8")
    ]
    for result, name in zip(found[:2], ("test_accuracy", "test_loss"), strict=True):
        better, worse = (np.mean([metrics[name] for metrics in each]) for each in by_resolution)
        expected = 100 * (better - worse) if name == "test_accuracy" else worse - better
        assert result.effect == pytest.approx(expected)
    logs = [np.mean([np.log(metrics["train_time_s"]) for metrics in each]) for each in by_resolution]
    assert found[2].effect == pytest.approx(100 * (1 - np.exp(logs[0] - logs[1])))
    assert (found[3].effect, found[3].caveats) == (None, "no result for resolution 28")
