"""Names of the columns of result tables that are not axes."""

from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study.ledger.schema import SELECTED_VAL_ACCURACY, TEST_ACCURACY, TEST_LOSS, TRAIN_TIME_S

TRIAL_METRICS = (SELECTED_VAL_ACCURACY, TEST_ACCURACY, TEST_LOSS, TRAIN_TIME_S)
"""Metrics of a trial that tables show."""
TABLE_COLUMNS = frozenset(
    {"seed", "state", "identity", "run_id", "num_test", "n", "mean", "low", "high", "interval", "diverged", "missing"}
    | {"test accuracy, %", "lines", "right", *TRIAL_METRICS}
)


def check_axis_names(space: SearchSpace) -> None:
    """Raise InputError where an axis has the name of a column of result tables, which have a column for each axis."""
    for axis in sorted({*space.scientific, *space.nuisance_axes} & TABLE_COLUMNS):
        raise InputError(
            f"search space {space.name}: axis {axis}: tables have a column of that name; name it differently"
        )
