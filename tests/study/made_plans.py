"""Plans that cost nothing to make, and searches whose results are made up."""

from collections.abc import Callable, Mapping
from typing import Any

from revit.config import FineTuneConfig
from revit.training.metrics import METRICS
from search_spaces.framework.space import SearchSpace
from study.inputs import Inputs
from study.ledger.records import TrialRecord, config_tags, study_tags
from study.ledger.schema import TRAIN_TIME_S, val_value_name, value_name
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import Planner, make_plan
from study.trial import Trial

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5)
Result = float | TrialState
"""Value of a trial that finished, or how else it ended."""


def space_of(**changes: Any) -> SearchSpace:
    """Return a space of two learning rates and two seeds, with some attributes changed."""
    given = {
        "name": "example",
        "question": "?",
        "scientific": {"optimizer.lr": (0.1, 0.2)},
        "seeds": (0, 1),
        "base": BASE,
        **changes,
    }
    return SearchSpace(**given)


def plan_of(folders: Folders, records: Mapping[str, TrialRecord] | None = None, **changes: Any) -> Plan:
    """Return the plan of `space_of` from records."""
    space = space_of(**changes)
    return make_plan(space, space.seeds, folders, records or {})


def planner_of(space: SearchSpace, folders: Folders) -> Planner:
    """Return the planner of a space."""
    return Planner(space, space.seeds, Inputs(folders.open_images, ()))


def record_of(trial: Trial, result: Result = 0.5, **tags: str) -> TrialRecord:
    """Return the record of a trial that has ended, as a launch writes it, with some tags changed.

    Args:
        result: value of every metric, on validation and test images; 1 second of training.
    """
    candidate = trial.candidate
    metrics = {}
    if not isinstance(result, TrialState):
        names = [name for name, metric in METRICS.items() if metric.of_predictions]
        metrics = dict.fromkeys([*map(val_value_name, names), *map(value_name, names)], result) | {TRAIN_TIME_S: 1.0}
    return TrialRecord(
        run_id=f"run of {trial.identity}",
        identity=trial.identity,
        state=result if isinstance(result, TrialState) else TrialState.FINISHED,
        last_step=5,
        metrics=metrics,
        params={name: str(value) for name, value in candidate.config.flat().items()},
        tags={
            "study": "example",
            **study_tags("example", cell=candidate.cell, point=candidate.point),
            **trial.tags,
            **config_tags(candidate.config),
            **{f"digest.{name}": value for name, value in trial.input_digests.items()},
            **tags,
        },
    )


def searched(
    space: SearchSpace,
    folders: Folders,
    result: Callable[[FineTuneConfig], Result],
    records: Mapping[str, TrialRecord] | None = None,
) -> dict[str, TrialRecord]:
    """Return records of a store once all searches of a space are over.

    Args:
        result: how the trial of a config of a search ends.
        records: records of the store before.
    """
    planner, records = planner_of(space, folders), dict(records or {})
    for cell in planner.cells:
        while (search := planner.search(cell, records)).num_left:
            point = planner.ask(search, records)
            assert point is not None
            records |= {trial.identity: record_of(trial, result(trial.candidate.config)) for trial in point.trials}
    return records
