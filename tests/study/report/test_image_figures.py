"""Figures of images, predictions or weights, against the artifacts of the trials."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from revit.datasets.image_store import ImageStore
from study.analysis.results import reported_trials
from study.layout import INTERNALS, PREDICTIONS
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.finished_study import FinishedStudy
from study.report.image_figures import draw_answers, draw_model_internals, draw_samples, rank_mistakes
from study.report.plots.mosaic import make_thumbnail
from study.trial import Trial
from tests.study.report.plots.drawing import picture_in
from tests.study.report.small_study import study_of


def test_confusion_matrices_of_best_and_worst_cell_are_means_over_their_seeds(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    study = study_of(plan, ledger)
    best, worst, difference, _ = draw_answers(study)
    by_mean = study.cells.sort_values("mean", kind="stable")
    for figure, cell in ((worst, by_mean.iloc[0]), (best, by_mean.iloc[-1])):
        axes = ("resolution", "model.pos_embed")
        trials = [trial for trial in study.trials if all(trial.candidate.cell[axis] == cell[axis] for axis in axes)]
        by_seed = [crosstab(answers_of(trial, ledger)) for trial in trials]
        assert len(by_seed) == 2
        assert np.allclose(figure.data[0].z, np.mean(by_seed, axis=0), atol=1e-4)
        assert "mean of 2 seeds, % of the true class" in figure.layout.meta["title"]
    assert np.allclose(difference.data[0].z, best.data[0].z - worst.data[0].z, atol=1e-4)


def answers_of(trial: Trial, ledger: Ledger) -> pd.DataFrame:
    answers = pd.read_parquet(ledger.artifacts.path(trial.record.run_id, PREDICTIONS))
    return answers[answers["split"] == "test"]


def crosstab(answers: pd.DataFrame) -> np.ndarray:
    """Return percent of the true class."""
    shares = pd.crosstab(answers["label"], answers["prediction"], normalize="index")
    return 100 * shares.reindex(columns=range(10), fill_value=0).to_numpy()


def test_the_first_mistake_is_of_most_seeds(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    study = study_of(plan, ledger)
    mistakes = draw_answers(study)[-1]
    cell = study.cells.sort_values("mean", kind="stable").iloc[-1]
    trials = [trial for trial in study.trials if trial.candidate.config.resolution == cell["resolution"]]
    trials = [trial for trial in trials if trial.candidate.config.model.pos_embed == cell["model.pos_embed"]]
    answers = pd.concat(answers_of(trial, ledger) for trial in trials)
    wrong = answers[answers["label"] != answers["prediction"]]
    by_image = wrong.groupby("index")["confidence"].agg(["size", "mean"]).sort_values(["size", "mean"])
    image = ImageStore(trials[0].images).image(int(by_image.index[-1]))
    assert (picture_in(mistakes)[:72, :72] == make_thumbnail(image, 72)).all()
    assert f"2 seeds classify {(by_image['size'] == 2).sum()} wrong" in mistakes.layout.meta["caption"]


def test_mistakes_are_ranked_by_seeds_then_by_confidence() -> None:
    rows = [
        (7, 0, 1, 0.6), (7, 0, 2, 0.5), (7, 0, 1, 0.7),  # wrong in three seeds, most often as 1
        (8, 1, 0, 0.9), (8, 1, 0, 0.9), (8, 1, 1, 0.9),
        (9, 2, 0, 0.95), (9, 2, 0, 0.9), (9, 2, 2, 0.9),
        (6, 0, 0, 0.9), (6, 0, 0, 0.9), (6, 0, 0, 0.9),
    ]  # fmt: skip
    ranked = rank_mistakes(pd.DataFrame(rows, columns=["index", "label", "prediction", "confidence"]))
    assert ranked.to_numpy().tolist() == [[7, 0, 1, 3], [9, 2, 0, 2], [8, 1, 0, 2]]


def test_a_study_of_many_datasets_has_no_confusion_matrices(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    trials = [
        replace(trial, candidate=replace(trial.candidate, config=replace(trial.candidate.config, dataset=name)))
        for trial, name in zip(plan.trials, ("digits", "cifar10", "cifar100", "faces"), strict=False)
    ]
    assert draw_answers(FinishedStudy(plan, ledger, trials)) == []


def test_model_internals_need_a_model_with_position_embedding(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    trials = reported_trials(plan)
    assert len(draw_model_internals(FinishedStudy(plan, ledger, trials))) == 3
    without = [trial for trial in trials if trial.candidate.config.model.pos_embed == "none"]
    assert draw_model_internals(FinishedStudy(plan, ledger, without)) == []


def test_model_internals_of_a_trial_without_their_file_are_those_of_its_weights(
    finished: tuple[Plan, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials of an earlier version kept their weights only."""
    plan, ledger = finished
    study = study_of(plan, ledger)
    expected = draw_model_internals(study)
    has = ledger.artifacts.has
    monkeypatch.setattr(ledger.artifacts, "has", lambda run_id, name: name != INTERNALS and has(run_id, name))
    drawn = draw_model_internals(study)
    assert len(drawn) == len(expected) == 3
    for ours, theirs in zip(drawn, expected, strict=True):
        for one, other in zip(ours.data, theirs.data, strict=True):
            assert one.type == other.type
            if one.type == "heatmap":
                np.testing.assert_array_equal(one.z, other.z)
            else:
                assert one.source == other.source


def test_model_internals_need_no_weights(finished: tuple[Plan, Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    """A server would have to send them: 0.3 GB of a ViT-B/16."""
    study = study_of(*finished)
    monkeypatch.delattr("study.report.image_figures.load_trained_model")
    assert len(draw_model_internals(study)) == 3


def test_samples_are_drawn_of_studies_that_compare_datasets(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    assert draw_samples(FinishedStudy(plan, ledger, reported_trials(plan))) == []
