"""Plans of searched studies whose results are made up, without training."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from revit.config import FineTuneConfig
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.inputs import Inputs
from study.ledger.ledger import Ledger
from study.ledger.records import Measurement, TrialRecord, TrialUpdate, now_ms, study_tags
from study.ledger.states import TrialState
from study.plan import Folders, Plan
from study.planning import Planner
from study.trial import Trial

BASE = FineTuneConfig(
    dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, batch_size=16, steps=12, num_evals=3
)
LR = Range(1e-4, 1e-1, log=True)
SPACE = SearchSpace(
    name="searched",
    question="Which optimizer is better, once tuned?",
    base=BASE,
    scientific={"optimizer.name": ("sgd", "adamw")},
    nuisance={
        "optimizer.lr": LR,
        "optimizer.weight_decay": Range(1e-3, 0.3, log=True, when={"optimizer.name": "adamw"}),
    },
    search=Search(sampler="random", num_trials=6),
    seeds=(0, 1),
)
Outcome = Callable[[FineTuneConfig], tuple[TrialState, Mapping[str, float]]]
"""Result of a config: its state, and its metrics."""


def at_best_lr(best: float) -> Outcome:
    """Return results of trials whose accuracy falls with the distance of the learning rate from the best one."""

    def outcome(config: FineTuneConfig) -> tuple[TrialState, dict[str, float]]:
        accuracy = 0.9 - 0.1 * abs(config.optimizer.lr / best - 1) / (1 + config.optimizer.lr / best)
        name = "test_accuracy" if config.test else "selected_val_accuracy"
        return TrialState.FINISHED, {
            name: accuracy,
            "train_time_s": 2.0,
            "num_steps_done": 12,
            "val_accuracy": accuracy,
        }

    return outcome


def record_of(trial: Trial, outcome: Outcome, study: str) -> TrialRecord:
    """Return the record of a trial with a made-up result."""
    state, metrics = outcome(trial.candidate.config)
    candidate = trial.candidate
    tags = {**study_tags(study, cell=candidate.cell, point=candidate.point), **trial.tags}
    name = trial.identity
    return TrialRecord(run_id=2 * name, identity=name, state=state, last_step=12, metrics=metrics, params={}, tags=tags)


def make_planner(folder: Path, cache_dir: Path, space: SearchSpace = SPACE) -> Planner:
    folders = Folders(store=folder, data=folder, cache=cache_dir)
    return Planner(space, space.seeds, Inputs(folders.open_images, ()))


def search_points(planner: Planner, outcome: Outcome, num_points: int | None = None) -> dict[str, TrialRecord]:
    """Return the records of a search that has asked for so many points in each cell; None for all of them."""
    records: dict[str, TrialRecord] = {}
    for cell in planner.cells:
        search = planner.search(cell, records)
        while search.num_left and (num_points is None or len(search.points) < num_points):
            point = planner.ask(search, records)
            assert point is not None
            new = {each.identity: record_of(each, outcome, planner.space.name) for each in point.trials}
            records = {**new, **records}
            search = planner.search(cell, records)
    return records


def searched_plan(planner: Planner, outcome: Outcome, num_points: int | None = None, *, tested: bool = True) -> Plan:
    """Return the plan of a study whose searches have got so far; of those that are over, the best points are tested."""
    records = search_points(planner, outcome, num_points)
    plan = planner.plan(records)
    ready = [trial for trial in plan.trials if tested and not trial.awaits]
    new = {trial.identity: record_of(trial, outcome, planner.space.name) for trial in ready}
    return plan.with_records({**new, **records})


def write_records(ledger: Ledger, records: Iterable[TrialRecord]) -> None:
    """Write trials with made-up results to a ledger, the oldest first."""
    launch = ledger.launches.open(SPACE.name, {})
    for record in reversed(list(records)):
        run_id = ledger.open_trial(record.identity, launch=launch, name="trial", tags=record.tags).run_id
        rows = [Measurement({"step": 12.0, **record.metrics}, now_ms())]
        ledger.close_trial(run_id, record.state, update=TrialUpdate(rows=rows))
