"""Figures from test images, predictions or weights: answers, model internals, samples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from revit.datasets.image_store import ImageStore
from revit.models.internals_file import Internals, read_internals
from revit.training.prediction_file import read_columns
from study.layout import INTERNALS, MODEL, PREDICTIONS
from study.ledger.ledger import Ledger
from study.report.finished_study import FinishedStudy, cell_name, run_id
from study.report.plots.answers import plot_confusion_difference, plot_confusion_matrix, plot_mistakes
from study.report.plots.pictures import plot_attention, plot_filters, plot_samples, plot_similarity
from study.trained_model import load_trained_model, read_class_names
from study.trial import Trial

MAX_ANSWERED_DATASETS = 3
"""Datasets up to which confusion matrices and mistakes on each are drawn."""
MAX_SAMPLED_CLASSES = 6
"""Classes up to which samples of a dataset are drawn."""
MAX_SAMPLES = 6
"""Images of a class in the figure of samples."""


class _Cell(NamedTuple):
    """A cell with the predictions of its seeds.

    Attributes:
        answers: columns seed, index, label, prediction, confidence; a row per seed and test image.
    """

    name: str
    trials: Sequence[Trial]
    answers: pd.DataFrame
    class_names: Sequence[str]

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """Share of each predicted class (columns) in each true class (rows), mean over seeds."""
        counts = np.zeros((len(self.class_names),) * 2, np.int64)
        np.add.at(counts, (self.answers["label"], self.answers["prediction"]), 1)
        return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))

    @property
    def seeds(self) -> str:
        """Number of its seeds, or the only one, in words."""
        seeds = [trial.candidate.config.seed for trial in self.trials]
        return f"mean of {len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"


def draw_answers(study: FinishedStudy) -> list[go.Figure]:
    """Draw confusion matrices of the best and the worst cell of each dataset, and what the best one gets wrong."""
    by_dataset: dict[str, list[str]] = {}
    for cell, trial in study.first_trials(cell_name).items():
        by_dataset.setdefault(trial.candidate.config.dataset, []).append(str(cell))
    if len(by_dataset) > MAX_ANSWERED_DATASETS:
        return []
    return [figure for cells in by_dataset.values() for figure in _draw_dataset(study, cells)]


def _draw_dataset(study: FinishedStudy, names: Sequence[str]) -> list[go.Figure]:
    """Draw the answers of the cells of one dataset."""
    means = study.means
    ranked = sorted(names, key=lambda name: -study.metric.sign * means[name])
    best = _read_cell(study, ranked[0])
    figures = [_draw_confusion(best, "best cell, " if len(ranked) > 1 else "")]
    if len(ranked) > 1:
        worst = _read_cell(study, ranked[-1])
        figures.append(_draw_confusion(worst, "worst cell, "))
        title = f"Confusion matrices, difference of best and worst cell, pp: {best.name} less {worst.name}"
        note = f"Each a {best.seeds}." if best.seeds == worst.seeds else f"{best.seeds} less {worst.seeds}."
        figures.append(plot_confusion_difference(best.shares - worst.shares, best.class_names, title, note))
    images = next((trial.images for trial in best.trials if trial.images is not None), None)
    if images is not None:
        figures.append(_draw_mistakes(best, ImageStore(images), "best cell, " if len(ranked) > 1 else ""))
    return figures


def _draw_confusion(cell: _Cell, kind: str) -> go.Figure:
    title = f"Confusion matrix, {kind}{cell.seeds}, % of the true class: {cell.name}"
    return plot_confusion_matrix(cell.shares, cell.class_names, title)


def _draw_mistakes(cell: _Cell, store: ImageStore, kind: str) -> go.Figure:
    mistakes, num_seeds = rank_mistakes(cell.answers), len(cell.trials)
    mistakes["text"] = [f"{number} of {num_seeds}" for number in mistakes["num_wrong"]]
    num_most = int((mistakes["num_wrong"] > num_seeds / 2).sum())
    num_images = cell.answers["index"].nunique()
    of_seeds = f"most of {num_seeds} seeds classify" if num_seeds > 1 else f"{cell.seeds} classifies"
    note = f"Of {num_images:,} test images, {of_seeds} {num_most:,} wrong; in the order of seeds, then of confidence."
    title = f"Images that {'most seeds classify' if num_seeds > 1 else of_seeds} wrong, {kind}{cell.name}"
    return plot_mistakes(mistakes, store.image, cell.class_names, title, note)


def rank_mistakes(answers: pd.DataFrame) -> pd.DataFrame:
    """Return the images that a seed classifies wrong: those of most seeds first, then of highest mean confidence.

    Args:
        answers: columns index, label, prediction, confidence; a row per seed and test image.

    Returns:
        Columns index, label, prediction (the wrong class of most seeds) and num_wrong (seeds).
    """
    wrong = answers[answers["label"] != answers["prediction"]]
    images = wrong.groupby("index").agg(
        label=("label", "first"),
        prediction=("prediction", lambda classes: classes.mode()[0]),
        num_wrong=("label", "size"),
        confidence=("confidence", "mean"),
    )
    ranked = images.sort_values(["num_wrong", "confidence"], ascending=False, kind="stable").reset_index()
    return ranked[["index", "label", "prediction", "num_wrong"]]


def _read_cell(study: FinishedStudy, name: str) -> _Cell:
    trials = [trial for trial in study.trials if cell_name(trial) == name]
    answers = [
        pd.DataFrame(
            read_columns(
                study.ledger.artifacts.path(run_id(trial), PREDICTIONS), ("index", "label", "prediction", "confidence")
            )
        )
        for trial in trials
    ]
    return _Cell(name, trials, pd.concat(answers), read_class_names(trials[0], study.ledger))


def draw_model_internals(study: FinishedStudy) -> list[go.Figure]:
    """Draw filters, position embeddings and attention, of the first seed whose trial kept them."""
    if "model.pos_embed" not in study.plan.space.scientific:
        return []
    found: dict[str, Internals] = {}
    of_learned = None
    for trial in study.trials:
        name = trial.candidate.config.model.pos_embed
        if name not in found and (internals := _find_internals(trial, study.ledger)) is not None:
            found[name] = internals
            of_learned = trial if name == "learned" else of_learned
    if of_learned is None:
        return []
    learned = found["learned"]
    figures = [plot_filters({f"position embedding {name}": each.filters for name, each in found.items()})]
    if learned.similarity is not None:
        figures.append(plot_similarity(learned.similarity))
    if learned.attention is not None and of_learned.images is not None:
        store = ImageStore(of_learned.images)
        figures.append(plot_attention(learned.attention, store.image(int(np.flatnonzero(store.is_test)[0]))))
    return figures


def _find_internals(trial: Trial, ledger: Ledger) -> Internals | None:
    """Return what a trial kept for figures; of one of an earlier version, what its weights show."""
    if ledger.artifacts.has(run_id(trial), INTERNALS):
        return read_internals(ledger.artifacts.path(run_id(trial), INTERNALS))
    if trial.images is None or not ledger.artifacts.has(run_id(trial), MODEL):
        return None
    from revit.training.inspection import inspect_trained

    return inspect_trained(load_trained_model(trial, ledger).network, trial.candidate.config, ImageStore(trial.images))


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
