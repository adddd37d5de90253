"""Checks of a search against the axes that it is over."""

from collections.abc import Mapping

from revit.errors import InputError
from revit.fields import did_you_mean
from revit.validation import require, short_repr
from search_spaces.framework.axes import NuisanceAxis, levels_of
from search_spaces.framework.claim_cells import Value
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import DEFAULT_NUM_TRIALS, Search


def check_search(search: Search, axes: Mapping[str, NuisanceAxis], metric: str) -> None:
    """Check a study's search.

    Args:
        axes: nuisance axes of the study.
        metric: metric of the study.

    Raises:
        InputError: a search without nuisance axes, a grid over a range, an enqueued point that is outside of the axes,
            more enqueued points than trials, or unknown objectives.
    """
    if not axes:
        if search != Search():
            raise InputError("it has a search, and no nuisance axes to search over")
        return
    for name, axis in axes.items():
        if search.sampler == "grid" and isinstance(axis, Range):
            raise InputError(f"sampler = 'grid': axis {name} = {axis} has no values; give a tuple, or another sampler")
    for point in search.enqueue:
        for name, value in point.items():
            _check_enqueued(name, value, axes)
    num_trials = DEFAULT_NUM_TRIALS if search.num_trials is None else search.num_trials
    right = f"at least {len(search.enqueue)}, the points of `enqueue`"
    require(num_trials >= len(search.enqueue), "num_trials", num_trials, right)
    if search.objectives:
        _check_objectives(search.objectives, metric)


def _check_enqueued(name: str, value: Value, axes: Mapping[str, NuisanceAxis]) -> None:
    if name not in axes:
        raise InputError(f"enqueue: {short_repr(name)} is not a nuisance axis{did_you_mean(name, list(axes))}")
    axis = axes[name]
    if isinstance(axis, Range):
        require(axis.has(value), f"enqueue, {name}", value, f"in {axis}")
    else:
        labels = [label for label, _ in levels_of(name, axis)]
        require(value in labels, f"enqueue, {name}", value, f"among {', '.join(map(str, labels))}")


def _check_objectives(objectives: tuple[str, ...], metric: str) -> None:
    from revit.training.metrics import METRICS  # loads numpy, which lists of studies do without

    for name in objectives:
        require(name in METRICS, "objectives", name, f"among {', '.join(METRICS)}")
    is_right = objectives[0] == metric and len(objectives) <= 2 and len(set(objectives)) == len(objectives)
    require(is_right, "objectives", objectives, f"{metric}, the metric of the study, and at most one more")
