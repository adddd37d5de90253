"""Processor time of the driver to ask for the next point of a cell.

Each time the cell's search is rebuilt from records as the ledger returns them, twice as in a launch: to see which cell
is next, then under its lock. Then TPE is asked, in an Optuna study that is rebuilt, too.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.ratios import BenchmarkResult, format_spread
from revit.config import FineTuneConfig
from search_spaces.framework.ranges import Range
from search_spaces.framework.search import Search
from search_spaces.framework.space import SearchSpace
from study.inputs import Inputs
from study.ledger.records import TrialRecord, study_tags
from study.ledger.schema import NUM_STEPS_DONE, TRAIN_TIME_S, VAL_ACCURACY, val_value_name
from study.ledger.states import TrialState
from study.plan import Folders
from study.planning import Planner
from study.trial import Trial

NUM_POINTS, ROUNDS = 200, 20
MAX_S = 0.050
SPACE = SearchSpace(
    name="overhead",
    question="How long does it take to ask for a point?",
    base=FineTuneConfig(dataset="digits", resolution=28, val_fraction=0.1, hflip=False, batch_size=32, steps=100),
    scientific={"optimizer.name": ("sgd",)},
    nuisance={
        "optimizer.lr": Range(1e-5, 1e-1, log=True),
        "optimizer.weight_decay": Range(1e-3, 0.3, log=True),
        "schedule.warmup": Range(0, 50, integer=True),
        "augmentation": ("none", "randaugment", "trivialaugment"),
    },
    search=Search(sampler="tpe", num_trials=10 * NUM_POINTS),
)


def measure(*, tiny: bool) -> list[BenchmarkResult]:
    """Measure the processor time of asking, at NUM_POINTS points of a cell; tiny: at 12."""
    num_points, rounds = (12, 2) if tiny else (NUM_POINTS, ROUNDS)
    seconds = asking_s(num_points, rounds)
    return [
        BenchmarkResult(
            what=f"processor time to ask tpe for a point of a cell that has {num_points}",
            against="a second",
            ratio=median(seconds),
            target=MAX_S,
            at_least=False,
            details=format_spread(seconds),
        )
    ]


def asking_s(num_points: int, rounds: int) -> list[float]:
    """Return the processor time of each of the questions after a number of points, in seconds of all threads."""
    with tempfile.TemporaryDirectory() as name:
        folders = Folders(store=Path(name), data=Path(name), cache=Path(name))
        planner = Planner(SPACE, (0,), Inputs(folders.open_images, ()))
        records: dict[str, TrialRecord] = {}
        seconds = [_ask(planner, records, number) for number in range(num_points + rounds)]
    return seconds[num_points:]


def _ask(planner: Planner, records: dict[str, TrialRecord], number: int) -> float:
    """Ask for a point, and record that it finished; return the processor time until its trial is known."""
    start = time.process_time()
    [cell] = planner.cells
    assert planner.search(cell, records).num_left
    point = planner.ask(planner.search(cell, records), records)
    seconds = time.process_time() - start
    assert point is not None and point.number == number
    records |= {trial.identity: _finished(trial, accuracy=1 / (1 + number % 17)) for trial in point.trials}
    return seconds


def _finished(trial: Trial, *, accuracy: float) -> TrialRecord:
    values = {val_value_name("accuracy"): accuracy, VAL_ACCURACY: accuracy}
    candidate = trial.candidate
    return TrialRecord(
        run_id=trial.identity,
        identity=trial.identity,
        state=TrialState.FINISHED,
        last_step=trial.num_steps,
        metrics={**values, TRAIN_TIME_S: 1.0, NUM_STEPS_DONE: trial.num_steps},
        params={},
        tags={**study_tags(SPACE.name, cell=candidate.cell, point=candidate.point), **trial.tags},
    )
