"""Studies with further test sets and several metrics."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from revit.config import FineTuneConfig
from revit.training.metrics import Predictions, find_metric
from search_spaces.framework.space import SearchSpace
from study.analysis.measured import measure
from study.analysis.results import cell_table
from study.analysis.verdicts import claim_verdicts
from study.ledger.records import TrialRecord
from study.plan import Folders, Plan
from study.planning import make_plan
from study.report.claim_list import to_lines
from tests.study.analysis.test_measured import SPACE, drawn
from tests.study.made_plans import plan_of, searched, space_of
from tests.study.report.small_study import finish

SHIFTED = replace(
    SPACE,
    base=SPACE.base.with_values({"test_sets": ("mnist_5k",)}),
    metric="accuracy",
    metrics=("accuracy@mnist_5k", "accuracy_change@mnist_5k", "loss"),
)


@dataclass
class SplitReader:
    """Reads made-up predictions, others for each run and split."""

    def __call__(self, run_id: str, columns: Sequence[str], split: str) -> Predictions:
        return drawn(int(run_id[:16], 16) + (1000 if split == "test" else 0), 300 if split == "test" else 400)


def shifted_plan(space: SearchSpace = SHIFTED) -> Plan:
    plan = finish(space, SPACE.seeds, [0.5] * 6)
    sizes = {"num_test": 300, "mnist_5k/num_test": 400}
    trials = [replace(each, sizes=sizes, num_test=300, test_sets={"mnist_5k": None}) for each in plan.trials]
    return replace(plan, trials=[replace(each, record=with_logged(each.record)) for each in trials])


def with_logged(record: TrialRecord) -> TrialRecord:
    accuracy = SplitReader()(record.run_id, (), "mnist_5k/test").accuracy
    return replace(record, metrics={**record.metrics, "mnist_5k/test_accuracy": accuracy})


def test_further_metrics_are_measured_each_like_a_study_about_it() -> None:
    measured = measure(shifted_plan(), SplitReader())
    assert [each.space.metric for each in measured.further] == list(SHIFTED.metrics)
    there, change, loss = measured.further
    assert {trial.num_test for trial in there.trials} == {400}
    alone = measure(shifted_plan(replace(SHIFTED, metric="accuracy@mnist_5k", metrics=())), SplitReader())
    same = ["n", "mean", "low", "high", "interval"]
    alone = replace(alone, trials=[replace(each, num_test=400) for each in alone.trials])
    assert cell_table(there)[same].equals(cell_table(alone)[same]), "exact, as accuracies are"
    only = measure(shifted_plan(replace(SHIFTED, metric="loss", metrics=())), SplitReader())
    assert cell_table(loss)[same].equals(cell_table(only)[same])
    for trial in change.trials:
        own, other = (SplitReader()(trial.record.run_id, (), split) for split in ("test", "mnist_5k/test"))
        assert trial.record.metrics["mnist_5k/test_accuracy_change"] == pytest.approx(other.accuracy - own.accuracy)
        variance = other.is_correct.var() / 400 + own.is_correct.var() / 300  # independent images
        assert trial.replicates.var() == pytest.approx(variance, rel=0.2)
    cells = cell_table(change)
    values = [[t.record.metrics["mnist_5k/test_accuracy_change"] for t in change.trials if t.candidate.cell == cell]
              for cell in ({"resolution": 8}, {"resolution": 28})]  # fmt: skip
    assert cells["mean"].tolist() == pytest.approx([np.mean(each) for each in values])
    assert (cells["low"] < cells["mean"]).all()
    assert (cells["low"] < 0).all(), "a change is not cut off at 0"


def test_a_change_pairs_images_of_a_set_made_of_the_own_ones() -> None:
    """CIFAR-10-C has the images of CIFAR-10 in their order; a set of other images is drawn for itself."""
    for name, is_paired in (("cifar10_c-fog-1", True), ("cifar10.1", False)):
        base = FineTuneConfig(dataset="cifar10", resolution=8, steps=5, test_sets=(name,))
        space = replace(SPACE, base=base, metric=f"accuracy_change@{name}", claims=())
        plan = measure(finish(space, (0,), [0.5]), lambda run_id, columns, split: drawn(1))
        [trial] = plan.trials
        assert trial.record.metrics[f"{name}/test_accuracy_change"] == 0
        assert (trial.replicates.var() == 0) == is_paired


def test_a_claim_about_a_further_test_set_compares_its_images() -> None:
    asked: list[str] = []

    def read_correct(run_ids: Collection[str], split: str) -> dict[str, np.ndarray]:
        asked.append(split)
        return {run_id: SplitReader()(run_id, (), split).is_correct for run_id in run_ids}

    space = replace(SHIFTED, metric="accuracy@mnist_5k", metrics=(), claims=SPACE.claims)
    plan = shifted_plan(space)
    plan = replace(plan, trials=[replace(each, num_test=400) for each in plan.trials])
    [verdict] = claim_verdicts(measure(plan, SplitReader()), {}, read_correct)
    assert set(asked) == {"mnist_5k/test"}
    [line] = to_lines([verdict], find_metric(space.metric))
    assert "resolution 28 has higher accuracy on mnist_5k than resolution 8; " in line
    assert verdict.ours.test == "two-way random effects (seed x test image)"
    values = [trial.record.metrics["mnist_5k/test_accuracy"] for trial in plan.trials]
    assert verdict.ours.effect == pytest.approx(100 * (np.mean(values[1::2]) - np.mean(values[::2])))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ("loss@faces",)}, "metric loss@faces: its trials are not tested on it; name it in test_sets"),
        ({"metrics": ("loss", "loss")}, "different, and without the study's metric"),
        ({"metric": "loss", "metrics": ("loss",)}, "different, and without the study's metric"),
        ({"metrics": ("speed",)}, "metric = 'speed': must be one of"),
        ({"tuned_by": "speed"}, "metric = 'speed': must be one of"),
    ],
)  # fmt: skip
def test_wrong_metrics_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SHIFTED, **changes)


def test_a_study_read_about_another_metric_keeps_its_trials_and_its_searches(folders: Folders) -> None:
    space = space_of(nuisance={"optimizer.momentum": (0.0, 0.9)}, base=SHIFTED.base)
    again = space.about("loss@mnist_5k")
    assert (again.metric, again.metrics, again.is_reread) == ("loss@mnist_5k", ("accuracy",), True)
    assert (space.objectives, again.objectives) == (("accuracy",), ("accuracy",))
    records = searched(space, folders, lambda config: config.optimizer.momentum)
    plan = plan_of(folders, records, nuisance=space.nuisance, base=SHIFTED.base)
    reread = make_plan(again, again.seeds, folders, records)
    assert [each.identity for each in reread.trials] == [each.identity for each in plan.trials]
    assert {each.num_test for each in reread.trials} == {1000}
    assert all(not config.test_sets for each in plan.searches for point in each.points
               for config in [point.trials[0].candidate.config]), "a search never reads a test set"  # fmt: skip
