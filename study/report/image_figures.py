"""Figures from test images, predictions or weights: answers, model internals, samples."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from revit.datasets.image_store import ImageStore
from revit.training.prediction_file import read_columns
from study.labels import cell_label
from study.layout import BUILT, MODEL, PREDICTIONS
from study.ledger.ledger import Ledger
from study.report.finished_study import FinishedStudy, run_id
from study.report.plots.answers import plot_confusion_matrix, plot_mistakes
from study.report.plots.pictures import plot_attention, plot_filters, plot_samples, plot_similarity
from study.trial import Trial

MAX_ANSWERED_CELLS = 6
"""Cells up to which a study's confusion matrices and mistakes are drawn."""
MAX_SAMPLED_CLASSES = 6
"""Classes up to which samples of a dataset are drawn."""
MAX_SAMPLES = 6
"""Images of a class in the figure of samples."""


def draw_answers(study: FinishedStudy) -> list[go.Figure]:
    """Draw confusion matrix and mistakes of the first seed of each cell, in a study of few cells."""
    first = study.first_trials(cell_label)
    if len(first) > MAX_ANSWERED_CELLS:
        return []
    figures = []
    for cell, trial in first.items():
        path = study.ledger.artifacts.path(run_id(trial), PREDICTIONS)
        answers = pd.DataFrame(read_columns(path, ("index", "label", "prediction", "confidence")))
        classes = _class_names(trial, study.ledger)
        counts = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(counts, (answers["label"], answers["prediction"]), 1)
        figures.append(plot_confusion_matrix(counts, classes, str(cell)))
        if trial.images is not None:
            figures.append(plot_mistakes(answers, ImageStore(trial.images).image, classes, str(cell)))
    return figures


def draw_model_internals(study: FinishedStudy) -> list[go.Figure]:
    """Draw filters, position embeddings and attention, from the final weights of the first seed."""
    if "model.pos_embed" not in study.plan.space.scientific:
        return []
    first = study.first_trials(lambda trial: trial.candidate.config.model.pos_embed)
    if "learned" not in first:
        return []
    from revit.models.introspection import attention_maps, embedding_filters, pos_embed_similarity

    models = {name: _load_tested_model(trial, study.ledger) for name, trial in first.items()}
    filters = {f"position embedding {name}": embedding_filters(model) for name, model in models.items()}
    learned, trial = models["learned"], first["learned"]
    figures = [plot_filters(filters), plot_similarity(pos_embed_similarity(learned))]
    if trial.images is not None:
        image, model_input = _load_test_image(trial, ImageStore(trial.images))
        figures.append(plot_attention(attention_maps(learned, model_input)[:, 0], image))
    return figures


def draw_samples(study: FinishedStudy) -> list[go.Figure]:
    """Draw training images of every class of the datasets that the study compares."""
    if "dataset" not in study.plan.space.scientific:
        return []
    folders = {trial.candidate.config.dataset: trial.images for trial in study.trials if trial.images is not None}
    stores = {name: ImageStore(folder) for name, folder in folders.items()}
    sets = {
        name: _load_samples(store)
        for name, store in stores.items()
        if len(store.manifest.class_names) <= MAX_SAMPLED_CLASSES
    }
    return [plot_samples(sets)] if sets else []


def _load_samples(store: ImageStore) -> dict[str, list[npt.NDArray[np.uint8]]]:
    samples: dict[str, list[npt.NDArray[np.uint8]]] = {}
    for number, name in enumerate(store.manifest.class_names):
        positions = np.flatnonzero((store.labels == number) & ~store.is_test)[:MAX_SAMPLES]
        samples[name] = [store.image(int(position)) for position in positions]
    return samples


def _load_tested_model(trial: Trial, ledger: Ledger) -> Any:
    from safetensors.torch import load_file

    from revit.models.build import build_tested_model

    model = build_tested_model(trial.candidate.config, len(_class_names(trial, ledger)))
    model.load_state_dict(load_file(ledger.artifacts.path(run_id(trial), MODEL)))
    return model.eval()


def _class_names(trial: Trial, ledger: Ledger) -> list[str]:
    """Return the classes that the trial recorded: its images may not be on this machine."""
    built = json.loads(ledger.artifacts.path(run_id(trial), BUILT).read_text())
    names: list[str] = built["data"]["class_names"]
    return names


def _load_test_image(trial: Trial, store: ImageStore) -> tuple[npt.NDArray[np.uint8], Any]:
    """Return a test image, and the same as the input of the model (1, 3, R, R)."""
    import torch

    from revit.datasets.batches import eval_batches, to_input
    from revit.models.normalization import normalization_of

    config = trial.candidate.config
    position = np.flatnonzero(store.is_test)[:1]
    [batch] = eval_batches(store, position, config.resolution, 1)
    return store.image(int(position[0])), to_input(batch.images, normalization_of(config), torch.device("cpu"))
