"""Confusion matrices, mistakes: against the shares and images that went in."""

import numpy as np
import pandas as pd

from study.report.plots.answers import plot_confusion_difference, plot_confusion_matrix, plot_mistakes
from tests.study.report.plots.drawing import NASTY, picture_in


def test_a_confusion_matrix_is_in_percent_of_the_true_class() -> None:
    heatmap = plot_confusion_matrix(np.array([[0.75, 0.25], [0, 1]]), ["cat", NASTY], "Matrix").data[0]
    assert np.allclose(heatmap.z, [[75, 25], [0, 100]])
    assert np.asarray(heatmap.text).tolist() == [["75", "25"], ["", "100"]]


def test_of_many_classes_no_numbers_are_written() -> None:
    figure = plot_confusion_matrix(np.eye(100), [f"class {number}" for number in range(100)], "Matrix")
    assert figure.data[0].texttemplate == ""
    assert not figure.layout.xaxis.showticklabels


def test_a_difference_of_matrices_is_in_points_around_zero() -> None:
    heatmap = plot_confusion_difference(np.array([[0.1, -0.1], [0, 0]]), ["cat", "dog"], "Difference", "").data[0]
    assert np.allclose(heatmap.z, [[10, -10], [0, 0]])
    assert (heatmap.zmin, heatmap.zmax) == (-10, 10)


def test_mistakes_are_drawn_in_their_order() -> None:
    mistakes = pd.DataFrame({"index": [2, 3, 0], "label": [0, 1, 0], "prediction": [1, 0, 1], "text": "2 of 3"})
    images = [np.full((4, 4, 1), 60 * index + 60, np.uint8) for index in range(4)]
    figure = plot_mistakes(mistakes, images.__getitem__, ["cat", NASTY], "Wrong", "Of 4 images.")
    shown = picture_in(figure)[0, ::82, 0]
    assert shown.tolist() == [180, 240, 60, 0], "the third image is first, the last place empty"
    assert figure.layout.meta["caption"].startswith("Of 4 images. ")
    assert figure.data[1].text[0].endswith("<br>2 of 3")


def test_without_mistakes_nothing_is_drawn() -> None:
    nothing = pd.DataFrame({"index": [], "label": [], "prediction": [], "text": []})
    assert not plot_mistakes(nothing, None, ["cat", "dog"], "Wrong", "").data
