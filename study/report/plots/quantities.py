"""Names of the quantities that figures show, with their units."""

from typing import NamedTuple

from study.ledger.schema import TEST_CURVE_ACCURACY, TRAIN_LOSS, VAL_ACCURACY
from study.report.axis_words import axis_titles, value_title


class Quantity(NamedTuple):
    """Display of a column.

    Attributes:
        title: its name in a title.
        label: its name and unit on an axis.
        factor: what its values are multiplied by to be in that unit.
    """

    title: str
    label: str
    factor: float

    def format(self, value: object) -> str:
        """Return a value in that unit, as it is shown everywhere."""
        return value_title(value * self.factor if isinstance(value, float) else value)


ACCURACY_LABEL = "test accuracy, %"

QUANTITIES = {
    TEST_CURVE_ACCURACY: Quantity("Test accuracy", ACCURACY_LABEL, 100),
    VAL_ACCURACY: Quantity("Validation accuracy", "validation accuracy, %", 100),
    TRAIN_LOSS: Quantity("Training loss", "training loss, nats", 1),
    "resolution": Quantity("resolution", "resolution, px", 1),
    "data_fraction": Quantity("data fraction", "training data used, %", 100),
}
"""Metrics of a training curve, and axes that have a unit."""


def quantity_of(name: str) -> Quantity:
    """Return how a metric or an axis is shown; an axis without a unit by its title."""
    title = axis_titles([name])[name]
    return QUANTITIES.get(name, Quantity(title, title, 1))
