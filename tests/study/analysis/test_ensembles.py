"""Ensembles of seeds, against scikit-learn on the mean of probabilities."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import special
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss

from revit.errors import InputError
from study.analysis.ensembles import ensemble_table
from study.analysis.probabilities import Logits
from tests.study.analysis.made_logits import NUM_IMAGES, read_logits
from tests.study.analysis.test_measured import SPACE
from tests.study.report.small_study import finish


@pytest.mark.parametrize("metric", ["accuracy", "loss", "accuracy@mnist_5k"])
def test_an_ensemble_predicts_by_the_mean_of_the_probabilities_of_its_seeds(metric: str) -> None:
    base = SPACE.base.with_values({"test_sets": ("mnist_5k",)})
    plan = finish(replace(SPACE, base=base, metric=metric, claims=()), SPACE.seeds, [0.5] * 6)
    table = ensemble_table(plan, read_logits)
    split = "mnist_5k/test" if "@" in metric else "test"
    for row in table.to_dict("records"):
        runs = [t.record.run_id for t in plan.trials if t.candidate.cell["resolution"] == row["resolution"]]
        labels = read_logits(runs[0], split)[0]
        members = [special.softmax(read_logits(run, split)[1], axis=1) for run in runs]
        score = {"loss": log_loss}.get(metric, lambda labels, p: accuracy_score(labels, p.argmax(1)))
        assert row["n"] == 3
        assert row["ensemble"] == pytest.approx(score(labels, np.mean(members, axis=0)))
        assert row["mean"] == pytest.approx(np.mean([score(labels, each) for each in members]))
        if metric != "loss":
            exact = binomtest(round(row["ensemble"] * NUM_IMAGES), NUM_IMAGES).proportion_ci(0.95, "exact")
            assert (row["low"], row["high"]) == pytest.approx(tuple(exact))
    better = table["ensemble"] < table["mean"] if metric == "loss" else table["ensemble"] > table["mean"]
    assert better.all(), "members that err on different images"


def test_what_has_no_probabilities_has_no_ensemble() -> None:
    speed = finish(replace(SPACE, metric="train_time_s", claims=()), (0,), [0.5] * 2)
    with pytest.raises(InputError, match="metric = 'train_time_s': an ensemble has metrics of predictions on one test"):
        ensemble_table(speed, read_logits)

    def read(run_id: str, split: str) -> Logits:
        raise KeyError(split)

    with pytest.raises(InputError, match="keeps no predictions on 'test'"):
        ensemble_table(finish(SPACE, (0,), [0.5] * 2), read)
