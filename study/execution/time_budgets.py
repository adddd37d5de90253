"""Time budgets of searches, compared with the time of a trial before any is trained."""

from revit.errors import InputError
from revit.models.architectures import MODELS
from study.labels import label
from study.ledger.schema import TRAIN_TIME_S
from study.plan import Plan
from study.trial import Trial

MAX_FLOPS = 2.5e15
"""FLOPs per second that no device exceeds: NVIDIA GB200, one GPU, dense bfloat16."""


def check_time_budget(plan: Plan) -> None:
    """Check that the time budget of a study's searches is enough for one trial of each cell that is searched.

    The time of a trial follows from finished ones of its model, resolution and batch size; without any, it is a lower
    bound: the FLOPs of its forward passes on the fastest device.

    Raises:
        InputError: the budget is shorter.
    """
    budget = plan.space.search.time_budget_s
    for search, trial in zip(plan.searches, plan.trials, strict=False):
        if budget is None or not search.cell.axes or search.is_over:
            continue
        measured = _measured_s(trial, plan)
        shortest, source = (_bound_s(trial), "at the very least") if measured is None else (measured, "as measured")
        if budget < shortest:
            right = f"at least {shortest:.3g}, the seconds of one trial of {label(search.cell.values)}, {source}"
            raise InputError(f"time_budget_s = {budget:g}: must be {right}")


def _measured_s(trial: Trial, plan: Plan) -> float | None:
    """Return the seconds of a trial by the fastest step of finished trials like it; None for no such trial."""
    alike = [other for other in plan.all_trials if _shape(other) == _shape(trial) and other.has_result]
    steps_s = [other.record.metrics[TRAIN_TIME_S] / other.num_steps for other in alike if other.record is not None]
    return min(steps_s) * trial.num_steps if steps_s else None


def _bound_s(trial: Trial) -> float:
    """Return a lower bound on the seconds of a trial; 0 for a model of unknown FLOPs."""
    config = trial.candidate.config
    if config.model.name not in MODELS:
        return 0.0
    from revit.models.cost import forward_gflops

    per_step = 1e9 * forward_gflops(config.model.name, config.resolution) * config.batch_size
    return per_step * trial.num_steps / MAX_FLOPS


def _shape(trial: Trial) -> tuple[object, ...]:
    config = trial.candidate.config
    return config.model, config.resolution, config.batch_size
