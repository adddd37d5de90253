"""Figures of images, predictions or weights, against the artifacts of the trials."""

from dataclasses import replace

import numpy as np
import pandas as pd

from revit.datasets.image_store import ImageStore
from study.analysis.results import reported_trials
from study.layout import PREDICTIONS
from study.ledger.ledger import Ledger
from study.plan import Plan
from study.report.finished_study import FinishedStudy
from study.report.image_figures import draw_answers, draw_model_internals, draw_samples
from study.report.plots.mosaic import make_thumbnail
from tests.study.report.plots.drawing import picture_in


def test_a_confusion_matrix_counts_the_recorded_predictions(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    study = FinishedStudy(plan, ledger, reported_trials(plan))
    matrix, mistakes = draw_answers(study)[:2]
    answers = pd.read_parquet(ledger.artifacts.path(study.trials[0].record.run_id, PREDICTIONS))
    answers = answers[answers["split"] == "test"]
    counts = pd.crosstab(answers["label"], answers["prediction"]).reindex(columns=range(10), fill_value=0)
    assert (np.asarray(matrix.data[0].text) == counts.to_numpy()).all()
    wrong = answers[answers["label"] != answers["prediction"]].sort_values("confidence", ascending=False, kind="stable")
    image = ImageStore(study.trials[0].images).image(int(wrong["index"].iloc[0]))
    assert (picture_in(mistakes)[:72, :72] == make_thumbnail(image, 72)).all()


def test_a_study_of_many_cells_has_no_confusion_matrices(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    trials = [
        replace(trial, candidate=replace(trial.candidate, cell={"resolution": number}))
        for number, trial in enumerate(plan.trials)
    ]
    assert draw_answers(FinishedStudy(plan, ledger, trials)) == []


def test_model_internals_need_a_model_with_position_embedding(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    trials = reported_trials(plan)
    assert len(draw_model_internals(FinishedStudy(plan, ledger, trials))) == 3
    without = [trial for trial in trials if trial.candidate.config.model.pos_embed == "none"]
    assert draw_model_internals(FinishedStudy(plan, ledger, without)) == []


def test_samples_are_drawn_of_studies_that_compare_datasets(finished: tuple[Plan, Ledger]) -> None:
    plan, ledger = finished
    assert draw_samples(FinishedStudy(plan, ledger, reported_trials(plan))) == []
