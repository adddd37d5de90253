"""Rehearsal of studies: a few steps of each distinct shape of their trials, on the devices that `run` would use."""

import math
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import count
from statistics import median
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.search import Searcher
from rich.filesize import decimal

from revit.config import FineTuneConfig, ScheduleConfig
from revit.errors import InputError
from study.execution.admission import admit
from study.execution.callback import error_of
from study.execution.cluster import ray_is_alive, start_ray
from study.execution.failures import MAX_LOSSES, RayLostError, summarize
from study.execution.ray_log import launch_log
from study.execution.ray_watch import RayWatch
from study.execution.resources import ResourceGrant, ResourceRequest
from study.execution.shipped_code import functions_of
from study.execution.stopper import Stateless
from study.execution.trainable import train_trial
from study.execution.trial_task import TrialTask, make_task
from study.execution.tuner import run_tune
from study.labels import cell_label
from study.layout import LOCKS, STOP_FILE, TUNE
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import Rehearsal
from study.ledger.schema import EVAL_IMAGES_PER_S, IMAGES_PER_S, PEAK_MEMORY, SELECTED_VAL_PREFIX, TEST_PREFIX
from study.plan import Plan
from study.trial import Trial

NUM_STEPS = 3
"""Optimizer steps of a rehearsed trial. The first one also starts the device's libraries, and is not timed."""
CONSTANT = ScheduleConfig(name="constant")
"""Schedule of a rehearsed trial: three steps are too few for any other."""
NUM_PASSES = 2
"""Passes of each shape: its steps, with checkpoints; then the same again, from the last checkpoint."""
LOSS_TOLERANCE = 0.01
"""Largest relative difference of the loss of reloaded weights: a GPU does not add up in the same order each time."""


@dataclass(kw_only=True)
class Shape:
    """Trials that are rehearsed together: they need the same, and can fail in the same ways.

    Attributes:
        trial: the first of them.
        config: its config, with the budget of a rehearsal.
        num_trials: how many they are.
        failure: why they would fail, one line; empty while nothing is known against them.
        note: that its loss was not finite, one line; empty where it was.
        num_passes: how many of its passes have ended.
        environment: tags of what the rehearsal ran on.
        speeds: training speed of each step of the first pass, in images/s.
        metrics: of its first pass.
    """

    trial: Trial
    config: FineTuneConfig
    num_trials: int = 0
    failure: str = ""
    note: str = ""
    num_passes: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    speeds: list[float] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name of the study and the cell of its first trial."""
        return f"{self.trial.study_name} {cell_label(self.trial)}"

    @property
    def line(self) -> str:
        """Result for the user, in one line."""
        label = f"{self.label} ({self.num_trials} trials)"
        if self.failure or self.note:
            return f"{'failed' if self.failure else 'passed'}  {label}: {self.failure or self.note}"
        memory = decimal(round(self.metrics[PEAK_MEMORY]))
        return f"passed  {label}: {self.step_time_s:.3g} s a step of {self.config.batch_size} images, {memory}"

    @property
    def is_over(self) -> bool:
        """True if nothing of it is left to try."""
        return bool(self.failure or self.note) or self.num_passes == NUM_PASSES

    def begin_again(self) -> None:
        """Forget the first pass: its files are gone."""
        self.num_passes, self.speeds, self.metrics = 0, [], {}

    @property
    def step_time_s(self) -> float:
        """Seconds of a step with its whole batch, the first one left out."""
        return self.config.batch_size / median(self.speeds[1:])

    @property
    def measured(self) -> Rehearsal | None:
        """Measurements for the ledger; None for a shape without a whole pass."""
        if self.failure or EVAL_IMAGES_PER_S not in self.metrics:
            return None
        return Rehearsal(
            params={name: str(value) for name, value in self.config.flat().items()},
            environment=self.environment,
            step_time_s=self.step_time_s,
            eval_images_per_s=self.metrics[EVAL_IMAGES_PER_S],
            peak_memory_bytes=self.metrics[PEAK_MEMORY],
        )


def shapes_of(trials: Iterable[Trial], max_batch: int | None = None) -> list[Shape]:
    """Return the distinct shapes of trials, in the order of the trials.

    Args:
        max_batch: largest batch to rehearse, in images; None for those of the configs.
    """
    shapes: dict[object, Shape] = {}
    for trial in trials:
        config = rehearsed_config(trial.candidate.config, max_batch)
        optimizer = replace(config.optimizer, lr=1.0, weight_decay=0.0)
        same = replace(config, seed=0, subset_seed=0, data_fraction=1.0, optimizer=optimizer)
        shape = shapes.setdefault((same, trial.images, trial.weights), Shape(trial=trial, config=config))
        shape.num_trials += 1
    return list(shapes.values())


def rehearsed_config(config: FineTuneConfig, max_batch: int | None = None) -> FineTuneConfig:
    """Return the config of a rehearsed trial: a few steps, then its only validation."""
    batch_size = min(config.batch_size, max_batch or config.batch_size)
    length = replace(config, steps=NUM_STEPS, epochs=None, epoch_images="used", num_evals=1, eval_every=None)
    return replace(length, schedule=CONSTANT, batch_size=batch_size)


def rehearse(
    plans: Sequence[Plan],
    ledger: Ledger,
    request: ResourceRequest,
    log: Callable[[str], None],
    *,
    max_batch: int | None = None,
) -> list[Shape]:
    """Rehearse the trials that are to be run; keep speed and memory in the ledger. Nothing of it counts as a trial.

    Each shape is trained by the code of a trial: its images, model, optimizer, three steps with a checkpoint each, an
    evaluation batch, its artifacts. Then it is resumed from its checkpoint, perhaps on another node.

    Args:
        max_batch: see `shapes_of`.

    Raises:
        InputError: the request fits no node, or Ray is lost again and again.
    """
    trials = [trial for plan in plans for trial in plan.to_check]
    shapes = shapes_of(trials, max_batch)
    log(f"rehearsing {len(shapes)} kinds of trials, for {len(trials)} trials")
    num_ended = count(1)

    def keep(shape: Shape) -> None:
        log(f"{next(num_ended)}/{len(shapes)}  {shape.line}")
        if (measured := shape.measured) is not None:
            add = partial(ledger.rehearsals.add, measured, name=f"rehearsal of {shape.label}", tags=shape.trial.study)
            ledger.retry(add, log=log)

    def start() -> ResourceGrant:
        start_ray(request.address, functions_of(plans), log=log)
        return admit(request, trials, ledger.storage, log)[1]

    def run_passes(left: Sequence[Shape], grant: ResourceGrant) -> None:
        _run_passes(left, ledger, grant, RehearsalListener(left, keep, log))

    with launch_log(ledger.root, log):
        _run_with_restarts(start, run_passes, shapes)
    return shapes


def _run_with_restarts(
    start: Callable[[], ResourceGrant],
    run_passes: Callable[[Sequence[Shape], ResourceGrant], None],
    shapes: Sequence[Shape],
) -> None:
    """Run the passes of all shapes. Where Ray itself is lost, run those of shapes that are not over again.

    Args:
        start: starts Ray, or joins its cluster.

    Raises:
        InputError: Ray cannot be started, or is lost again and again.
    """
    left, losses = shapes, Counter[int]()
    while True:
        grant = start()
        try:
            run_passes(left, grant)
        except Exception as error:
            if not isinstance(error, RayLostError) and ray_is_alive():
                raise
        else:
            return
        left = [shape for shape in left if not shape.is_over]
        for shape in left:
            shape.begin_again()
        losses[len(left)] += 1
        if losses[len(left)] == MAX_LOSSES:
            raise InputError(
                f"the rehearsal was stopped: Ray was lost {MAX_LOSSES} times, and no kind of trial was over in between"
            )
        ray.shutdown()


def _run_passes(shapes: Sequence[Shape], ledger: Ledger, grant: ResourceGrant, listener: "RehearsalListener") -> None:
    locks = Locks(ledger.root / LOCKS)
    lock = locks.acquire_new()
    folder, stop_file = f"{TUNE}/{lock}", f"{TUNE}/{lock}/{STOP_FILE}"
    tasks = []
    for number, shape in enumerate(shapes):
        task = make_task(shape.trial, grant, storage=ledger.storage, stop_file=stop_file, is_prunable=False)
        config, work = asdict(shape.config), f"{folder}/{number}"
        tasks.append(replace(task, identity=str(number), config=config, work=work, is_rehearsal=True))
    try:
        ledger.storage.touch(stop_file)  # workers save at each step, and wait for no disk
        run_tune(
            train_trial,
            listener,
            ledger.root / folder / "passes",
            searcher=PassSearcher(shapes, tasks),
            reuses_workers=grant.reuses_workers,
        )
    finally:
        locks.release_all()
        shutil.rmtree(ledger.root / folder, ignore_errors=True)
        with suppress(OSError):  # the next launch removes it
            ledger.storage.delete(folder)


class PassSearcher(Stateless, Searcher):
    """Suggests the passes of each shape, one soon after the other. Plugs into Ray Tune.

    The work folder of a shape is deleted once it is over: those of all together could fill a disk.

    Args:
        shapes: in the order of their tasks.
    """

    def __init__(self, shapes: Sequence[Shape], tasks: Iterable[TrialTask]) -> None:
        super().__init__()
        self._shapes = shapes
        self._waiting = deque(tasks)
        self._suggested: dict[str, TrialTask] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next task; None where it depends on those that run."""
        if not self._waiting:
            return None if self._suggested else Searcher.FINISHED
        self._suggested[trial_id] = self._waiting.popleft()
        return {"task": self._suggested[trial_id]}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Let the next pass of a shape begin, or clean up after its last."""
        task = self._suggested.pop(trial_id)
        if not (error or self._shapes[int(task.identity)].is_over):
            self._waiting.appendleft(task)
            return
        with suppress(OSError):  # all are deleted at the end
            task.storage.delete(task.work)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: a rehearsal is not resumed."""


class RehearsalListener(Stateless, tune.Callback):
    """Takes what workers report of their shapes. Plugs into Ray Tune.

    Args:
        shapes: in the order of their tasks.
        on_over: called with each shape that has passed everything, or failed.
        log: called with a line for the user.
    """

    def __init__(self, shapes: Sequence[Shape], on_over: Callable[[Shape], None], log: Callable[[str], None]) -> None:
        self._shapes = shapes
        self._on_over = on_over
        self._ray_watch = RayWatch(log)

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **_: Any) -> None:
        """Detect that Ray is dead, or has lost what a pass waits for. Raises RayLostError."""
        self._ray_watch.check(is_idle=all(trial.status != TuneTrial.RUNNING for trial in trials))

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **_: Any
    ) -> None:
        """Take the rows and tags of a report."""
        shape = self._shape(trial)
        shape.environment = result.get("tags", shape.environment)
        rows: list[dict[str, float]] = result.get("rows", [])
        if not result.get("is_replay", False) and not shape.num_passes:
            shape.speeds += [row[IMAGES_PER_S] for row in rows if IMAGES_PER_S in row]
        if "state" in result:
            self._end_pass(shape, rows[-1] if rows else {}, result.get("message", ""))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any) -> None:
        """Take what a worker raised."""
        shape = self._shape(trial)
        error = error_of(trial)
        shape.failure = summarize(getattr(error, "cause", None) or error)
        self._on_over(shape)

    def _end_pass(self, shape: Shape, metrics: dict[str, float], note: str) -> None:
        shape.note, before = note, shape.metrics
        for name in (f"{TEST_PREFIX}loss", f"{SELECTED_VAL_PREFIX}loss"):
            if name in before and not math.isclose(before[name], metrics[name], rel_tol=LOSS_TOLERANCE):
                values = f"{before[name]:g} before, {metrics[name]:g} after"
                shape.failure = f"its checkpoint has other weights: {name} is {values}"
        shape.metrics = before or metrics
        shape.num_passes += 1
        if shape.is_over:
            self._on_over(shape)

    def _shape(self, trial: TuneTrial) -> Shape:
        task: TrialTask = trial.config["task"]
        return self._shapes[int(task.identity)]
