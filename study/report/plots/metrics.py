"""What the axes of figures are called, and in which unit they count."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """How a column is shown.

    Attributes:
        title: its name, to open a title with.
        label: its name and unit, for an axis.
        factor: what its values are multiplied by to be in that unit.
        up: whether more of it is better.
    """

    title: str
    label: str
    factor: float
    up: bool


METRICS = {
    "test_accuracy": Quantity("Test accuracy", "test accuracy, %", 100, up=True),
    "test_loss": Quantity("Test loss", "test loss, nats", 1, up=False),
    "test_curve_accuracy": Quantity("Test accuracy", "test accuracy, %", 100, up=True),
    "test_curve_loss": Quantity("Test loss", "test loss, nats", 1, up=False),
    "val_accuracy": Quantity("Validation accuracy", "validation accuracy, %", 100, up=True),
    "selected_val_accuracy": Quantity("Validation accuracy", "validation accuracy, %", 100, up=True),
    "val_loss": Quantity("Validation loss", "validation loss, nats", 1, up=False),
    "train_loss": Quantity("Training loss", "training loss, nats", 1, up=False),
    "train_time_s": Quantity("Training time", "training time, s", 1, up=False),
}

AXES = {
    "resolution": Quantity("resolution", "resolution, px", 1, up=True),
    "data_fraction": Quantity("data fraction", "training data used, %", 100, up=True),
}


def of_axis(name: str) -> Quantity:
    """How an axis of a search space is shown; one without a unit by its own name."""
    return AXES.get(name, Quantity(name, name, 1, up=True))
