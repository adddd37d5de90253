"""Seeds of a cell whose trained models a study keeps."""

from typing import Literal

from revit.config import FineTuneConfig
from revit.validation import require

KeepModels = Literal["none", "first_seed", "best", "all"]
"""Tested trials whose weights are kept. `best`: of each cell, the seed with the best value on validation images."""
KEEP_DEFAULT: KeepModels = "first_seed"


def keeps_seed(choice: KeepModels, seed: int, first_seed: int) -> bool:
    """Return whether the weights of a tested trial are kept, as far as is known before it is trained."""
    return choice in ("best", "all") or (choice == "first_seed" and seed == first_seed)


def check_best_is_known(config: FineTuneConfig, metric: str, *, is_searched: bool) -> None:
    """Check that the seeds of a cell can be compared on validation images.

    Args:
        config: of a tested trial.
        metric: by which they are compared.
        is_searched: the cell is searched.

    Raises:
        InputError: the trial is trained on all images, or the metric has no value on validation images.
    """
    from revit.training.metrics import find_metric  # loads numpy, which lists of studies do without

    has_val_value = find_metric(metric).of_predictions is not None
    right = f"'first_seed', 'all' or 'none': {metric} has no value on validation images, by which seeds are compared"
    require(has_val_value, "keep_models", "best", right)
    why = "what wins a search is trained on them, too" if is_searched else "val_fraction = 0.0"
    right = f"'first_seed', 'all' or 'none': its tested trials have no validation images to compare seeds by: {why}"
    require(config.val_fraction > 0, "keep_models", "best", right)
