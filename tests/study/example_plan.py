"""A plan of four trials that cost nothing to make: two learning rates, two seeds."""

from collections.abc import Mapping
from pathlib import Path

from revit.config import FineTuneConfig
from search_spaces.framework.space import SearchSpace
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import make_plan

SPACE = SearchSpace(
    name="example",
    question="?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=5),
    scientific={"optimizer.lr": (0.1, 0.2)},
    seeds=(0, 1),
)


def make_example(folder: Path, cache_dir: Path, space: SearchSpace = SPACE) -> Plan:
    """Return the plan of a space on an empty store."""
    return make_plan(space, space.seeds, Folders(store=folder, data=folder, cache=cache_dir), {})


def finished_record(identity: str, tags: Mapping[str, str]) -> TrialRecord:
    """Return the record of a finished trial."""
    metrics = {"test_accuracy": 0.5, "selected_val_accuracy": 0.5}
    return TrialRecord(
        run_id="r", identity=identity, state=TrialState.FINISHED, last_step=5, metrics=metrics, params={}, tags=tags
    )


def with_all_but_last_finished(plan: Plan, tags: Mapping[str, str]) -> Plan:
    """Return the plan once all its trials but the last have finished."""
    return plan.with_records({each.identity: finished_record(each.identity, tags) for each in plan.trials[:-1]})
