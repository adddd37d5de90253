"""Words for axes of a study in tables."""

from revit.datasets.registry import DATASETS
from revit.models.architectures import MODELS
from revit.training.optimizer_specs import OPTIMIZERS
from study.report.axis_words import NAMES, axis_titles, value_title


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
    assert NAMES.keys() <= {*OPTIMIZERS, *DATASETS, *MODELS}
    assert value_title("cifar100") == "CIFAR-100"
    assert value_title("my_data") == "my_data"
    assert value_title(1e-5) == "1e-05"
