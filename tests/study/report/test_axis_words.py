"""Words for axes of a study in tables."""

import timm

from revit.datasets.registry import DATASETS
from revit.models.architectures import MODELS
from revit.training.optimizer_specs import OPTIMIZERS
from study.report.axis_words import NAMES, axis_titles, cell_title, name_of_value, value_of_axis, value_title


def test_axes_have_titles_without_dots_unless_two_have_the_same() -> None:
    titles = {
        "optimizer.lr": "learning rate", "schedule.name": "schedule", "optimizer": "optimizer",
        "model.pos_embed": "position embedding", "my_axis": "my axis",
    }  # fmt: skip
    assert axis_titles(list(titles)) == titles
    assert axis_titles(["optimizer.lr", "learning_rate"]) == {
        "optimizer.lr": "optimizer.lr",
        "learning_rate": "learning_rate",
    }


def test_every_name_is_of_something_that_a_study_can_vary() -> None:
    assert NAMES.keys() <= {*OPTIMIZERS, *DATASETS, *MODELS, *timm.list_pretrained()}
    assert value_title("cifar100") == "CIFAR-100"
    assert value_title("my_data") == "my_data"
    assert value_title(1e-5) == "1e-05"


def test_a_cell_is_named_by_its_values_with_their_axes_unless_they_are_names() -> None:
    cell = {"optimizer.name": "sgd", "schedule.name": "cosine", "resolution": 224, "optimizer.lr": 1e-5}
    assert cell_title(cell) == "SGD, schedule cosine, resolution 224, learning rate 1e-05"
    assert cell_title({}) == ""


def test_values_in_sentences() -> None:
    assert value_of_axis("data_fraction", 0.25) == "25 %"
    assert value_of_axis("optimizer.lr", 0.25) == "0.25"
    assert name_of_value("data_fraction", 1.0) == "100 % of the training images"
    assert name_of_value("optimizer.name", "sgd") == "SGD"
    assert name_of_value("resolution", 224) is None
