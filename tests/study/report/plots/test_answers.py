"""Confusion matrix, mistakes: against the predictions that went in."""

import numpy as np
import pandas as pd

from study.report.plots.answers import plot_confusion_matrix, plot_mistakes
from tests.study.report.plots.drawing import NASTY, picture_in


def test_a_confusion_matrix_is_row_normalized() -> None:
    heatmap = plot_confusion_matrix(np.array([[3, 1], [0, 4]]), ["cat", NASTY], "lr=0.1").data[0]
    assert np.allclose(heatmap.z, [[75, 25], [0, 100]])


def test_a_class_without_images_is_a_row_of_zeros() -> None:
    heatmap = plot_confusion_matrix(np.array([[2, 0], [0, 0]]), ["cat", "dog"], "").data[0]
    assert np.allclose(heatmap.z, [[100, 0], [0, 0]])


def test_the_most_confident_mistakes_come_first() -> None:
    answers = pd.DataFrame(
        {"index": range(4), "label": [0, 1, 0, 1], "prediction": [1, 1, 1, 0], "confidence": [0.6, 0.99, 0.9, 0.7]}
    )
    images = [np.full((4, 4, 1), 60 * index + 60, np.uint8) for index in range(4)]
    figure = plot_mistakes(answers, images.__getitem__, ["cat", NASTY], "lr=0.1")
    shown = picture_in(figure)[0, ::82, 0]
    assert shown.tolist() == [180, 240, 60, 0], "the third image is first, the last place empty"
    assert "The 3 most confident of 3 wrong predictions on 4 test images" in figure.layout.meta["caption"]
