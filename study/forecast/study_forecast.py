"""The forecast of studies: what is to be trained, how long it takes, what it needs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from revit.training.memory_shape import micro_batch_of
from revit.training.trial_flops import image_flops, is_counted, trial_flops
from search_spaces.framework.space import SearchSpace
from study.forecast.devices import Device
from study.forecast.disk_space import further_models, kept_trials, model_bytes, peak_disk_bytes
from study.forecast.gpu_fit import largest_micro_batch, trials_that_fit
from study.forecast.queue import TrialQueue
from study.forecast.simulated_launch import SimulatedLaunch, SimulatedStudy, simulated_plan, simulated_study
from study.forecast.speeds import Speeds, TrialTime
from study.forecast.trial_costs import TrialCosts, sizes_of
from study.forecast.trial_memory import WORKER_BYTES, TrialMemories, TrialMemory
from study.ledger.records import Rehearsal, TrialRecord
from study.ledger.schema import DEVICE_S, PEAK_BYTES, START_S, WALL_S
from study.ledger.states import TrialState
from study.plan import Plan
from study.trial import Trial

ASSUMED_START_S = 15.0
"""Seconds of a launch before its first trial, and after its last: an assumption, where none was measured."""
SCHEMA = 1
"""Version of the JSON of a forecast (docs/plan.md)."""


@dataclass(frozen=True, kw_only=True)
class CellForecast:
    """Trials of one cell, those of its search included, by state.

    Attributes:
        values: label of each scientific axis.
        trials: number by state, as in the ledger; `stale` are new ones that were trained before something changed,
            and `unknown` are those of which images or weights are missing.
        reasons: why trials are stale.
        steps, flops, seconds: of the trials that are to be trained.
    """

    values: dict[str, str]
    trials: dict[str, int]
    reasons: list[str]
    steps: int
    flops: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StudyForecast:
    """One study.

    Attributes:
        missing: datasets and weights that are not on this machine: its trials cannot run before they are.
        keep_models: whose models it keeps.
        kept_models, kept_bytes: number and size of these once all trials have ended, those that are there included.
    """

    study: str
    recipe: str | None
    scale: str | None
    missing: list[str]
    cells: list[CellForecast]
    keep_models: str
    kept_models: int
    kept_bytes: int


@dataclass(frozen=True, kw_only=True)
class ShapeForecast:
    """Trials that need the same time for a step, and the same memory.

    Attributes:
        trials: number of trials to be trained.
        step_flops: FLOPs of an optimizer step.
        step_s: seconds of an optimizer step; `rate` says where from (`speeds.Source`).
        peak_bytes: peak memory of a trial; `memory` says where from (`trial_memory.Source`).
        largest_micro_batch: that fits a device by the trace; None on a CPU, and where memory is unknown.
        trials_per_device: trials that fit the memory of one device; None likewise.
    """

    model: str
    resolution: int
    batch_size: int
    micro_batch: int
    optimizer: str
    trained: str
    precision: str
    trials: int
    step_flops: float
    step_s: float
    rate: str
    peak_bytes: int
    memory: str
    largest_micro_batch: int | None
    trials_per_device: int | None


@dataclass(frozen=True, kw_only=True)
class DeviceForecast:
    """The devices.

    Attributes:
        count: number of devices; of a CPU, of threads. Each trains one trial at a time.
        source: of the numbers of its table.
    """

    name: str
    count: int
    memory_bytes: int
    peak_flops: float
    source: str


@dataclass(frozen=True, kw_only=True)
class TotalForecast:
    """Needs of all studies together. A trial of several studies counts once.

    Attributes:
        device_seconds: sum over trials.
        wall_seconds: of the launch, as its queue orders the trials, with start and end.
        price: None without a price per hour.
        disk_bytes: of further models that are kept, and of checkpoints and models of the trials that run.
        free_bytes: on the disk of the store; None where it is not known.
        host_memory_bytes: of the worker processes, on all machines together.
        assumed: part of `device_seconds`, 0 to 1, that rests on the table of devices.
    """

    trials: int
    steps: int
    flops: float
    device_seconds: float
    wall_seconds: float
    price: float | None
    disk_bytes: int
    free_bytes: int | None
    host_memory_bytes: int
    peak_bytes: int
    assumed: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The forecast of studies on some devices.

    Attributes:
        blocked: what cannot run, and why, a line each.
    """

    device: DeviceForecast
    studies: list[StudyForecast]
    shapes: list[ShapeForecast]
    total: TotalForecast
    blocked: list[str]
    schema: int = field(default=SCHEMA)

    def to_json(self) -> dict[str, Any]:
        """Return its values, as docs/plan.md says."""
        return asdict(self)


class Planned(NamedTuple):
    """A study to forecast: its plan, or None where some of what it needs is missing."""

    space: SearchSpace
    plan: Plan | None
    missing: Sequence[str] = ()
    num_seeds: int | None = None


class Forecaster:
    """Makes forecasts on devices.

    Args:
        count: number of devices.
        start_s: seconds of a launch before its first trial, and after its last.
        free_bytes: on the disk of the store; None where it is not known.
    """

    def __init__(
        self,
        device: Device,
        count: int,
        records: Iterable[TrialRecord] = (),
        rehearsals: Iterable[Rehearsal] = (),
        start_s: float = ASSUMED_START_S,
        free_bytes: int | None = None,
    ) -> None:
        self._free_bytes = free_bytes
        self._device, self._count, self._start_s = device, count, start_s
        self._records, self._rehearsals = list(records), list(rehearsals)

    def forecast(self, studies: Sequence[Planned], price_per_hour: float | None = None) -> Forecast:
        """Return the forecast of studies that are launched together."""
        parts = [_simulated(each) for each in studies]
        whole = SimulatedStudy()
        for part in parts:
            whole.add(part)
        trials = whole.all_trials
        speeds = Speeds(self._device, trials, self._records, self._rehearsals)
        memories = TrialMemories(self._device, self._records, self._rehearsals)
        times = {trial.identity: speeds.of(trial) for part in parts for trial in part.all_trials}
        shapes = _shapes(trials, times, memories, self._device)
        return Forecast(
            device=DeviceForecast(
                name=self._device.name,
                count=self._count,
                memory_bytes=self._device.memory_bytes,
                peak_flops=self._device.peak_flops,
                source=self._device.source,
            ),
            studies=[_study(each, part, times) for each, part in zip(studies, parts, strict=True)],
            shapes=shapes,
            total=self._total(whole, times, shapes, list(zip(studies, parts, strict=True)), price_per_hour),
            blocked=[*_missing(studies), *_too_large(shapes)],
        )

    def estimate(self, plans: Sequence[Plan]) -> dict[str, float]:
        """Return what a launch of plans is expected to take, by `schema.FORECAST_VALUES`.

        Empty where FLOPs would have to be counted first: a launch is not to wait for that.
        """
        whole = SimulatedStudy()
        for plan in plans:
            whole.add(simulated_plan(plan))
        trials = whole.all_trials
        if not all(is_counted(trial.candidate.config) for trial in _distinct(trials)):
            return {}
        speeds = Speeds(self._device, trials, self._records, self._rehearsals)
        memories = TrialMemories(self._device, self._records, self._rehearsals)
        times = {trial.identity: speeds.of(trial) for trial in trials}
        return {
            WALL_S: self.wall_seconds(whole, times),
            DEVICE_S: sum(time.seconds for time in times.values()),
            PEAK_BYTES: max((memories.of(trial).peak_bytes for trial in _distinct(trials)), default=0),
            START_S: self._start_s,
        }

    def wall_seconds(self, study: SimulatedStudy, times: dict[str, TrialTime]) -> float:
        """Return the seconds of a launch: start, then its queue on all devices."""
        if not study.all_trials:
            return 0.0
        costs = TrialCosts(study.all_trials)
        launch = SimulatedLaunch(study, TrialQueue(costs), costs, lambda trial: times[trial.identity].seconds)
        return self._start_s + launch.run(self._count)

    def _total(
        self,
        whole: SimulatedStudy,
        times: dict[str, TrialTime],
        shapes: Sequence[ShapeForecast],
        studies: Sequence[tuple[Planned, SimulatedStudy]],
        price_per_hour: float | None,
    ) -> TotalForecast:
        trials = whole.all_trials
        device_s = sum(times[trial.identity].seconds for trial in trials)
        assumed_s = sum(times[each.identity].seconds for each in trials if _is_assumed(times[each.identity]))
        num_running = min(self._count, len(trials))
        peak = max((shape.peak_bytes for shape in shapes), default=0)
        wall_s = self.wall_seconds(whole, times)
        kept = [
            trial
            for study, part in studies
            for trial in further_models(part.all_trials, study.space.keep_models, study.plan)
        ]
        return TotalForecast(
            trials=len(trials),
            steps=sum(trial.num_steps for trial in trials),
            flops=sum(map(_flops, trials)),
            device_seconds=device_s,
            wall_seconds=wall_s,
            price=None if price_per_hour is None else price_per_hour * self._count * wall_s / 3600,
            disk_bytes=peak_disk_bytes(trials, kept, num_running),
            free_bytes=self._free_bytes,
            host_memory_bytes=num_running * (WORKER_BYTES + (0 if self._device.is_gpu else peak)),
            peak_bytes=peak,
            assumed=assumed_s / device_s if device_s else 0.0,
        )


def _simulated(study: Planned) -> SimulatedStudy:
    return simulated_study([study.space], study.num_seeds) if study.plan is None else simulated_plan(study.plan)


def _is_assumed(time: TrialTime) -> bool:
    return time.source in ("assumption", "scaled")


def _flops(trial: Trial) -> float:
    return sum(trial_flops(trial.candidate.config, sizes_of(trial), image_flops(trial.candidate.config)))


def _study(study: Planned, part: SimulatedStudy, times: dict[str, TrialTime]) -> StudyForecast:
    to_train: dict[str, list[Trial]] = {}
    for trial in part.all_trials:
        to_train.setdefault(str(trial.candidate.requested_values), []).append(trial)
    known: dict[str, list[Trial]] = {}
    for trial in () if study.plan is None else study.plan.all_trials:
        known.setdefault(str(trial.candidate.requested_values), []).append(trial)
    cells = []
    for cell in study.space.list_cells():
        key = str(cell.values)
        trials, recorded = to_train.get(key, []), known.get(key, [])
        cells.append(
            CellForecast(
                values={axis: str(value) for axis, value in cell.values.items()},
                trials=_count_states(study, trials, recorded),
                reasons=sorted({trial.staleness_reason for trial in recorded if trial.is_stale}),
                steps=sum(trial.num_steps for trial in trials),
                flops=sum(map(_flops, trials)),
                seconds=sum(times[trial.identity].seconds for trial in trials),
            )
        )
    tags = study.space.tags
    kept = kept_trials(part.all_trials if study.plan is None else study.plan.trials, study.space.keep_models)
    return StudyForecast(
        study=study.space.name,
        recipe=tags.get("recipe"),
        scale=tags.get("scale"),
        missing=list(dict.fromkeys(study.missing)),
        cells=cells,
        keep_models=study.space.keep_models,
        kept_models=len(kept),
        kept_bytes=sum(model_bytes(trial.candidate.config) for trial in kept),
    )


def _count_states(study: Planned, to_train: Sequence[Trial], recorded: Sequence[Trial]) -> dict[str, int]:
    """Return the number of trials of a cell by state; those of a search that are not known yet are new."""
    if study.plan is None:
        return {"unknown": len(to_train)}
    states = Counter("stale" if trial.is_stale else str(trial.state) for trial in recorded)
    num_known = sum(not trial.state.is_terminal for trial in recorded)
    states[str(TrialState.NEW)] += max(0, len(to_train) - num_known)
    return {name: count for name, count in sorted(states.items()) if count}


def _shapes(
    trials: Iterable[Trial], times: dict[str, TrialTime], memories: TrialMemories, device: Device
) -> list[ShapeForecast]:
    """Return the shapes of trials, those that take longest first."""
    groups: dict[tuple[object, ...], list[Trial]] = {}
    for trial in trials:
        config, model = trial.candidate.config, trial.candidate.config.model
        trained = model.trained if model.adapter == "none" else f"{model.adapter} of {model.trained}"
        key = (model.name, config.resolution, config.batch_size, micro_batch_of(config), config.optimizer.name, trained)
        groups.setdefault(key, []).append(trial)
    longest = sorted(groups.items(), key=lambda each: -sum(times[trial.identity].seconds for trial in each[1]))
    return [_shape(key, group, times, memories, device) for key, group in longest]


def _shape(
    key: Any, trials: Sequence[Trial], times: dict[str, TrialTime], memories: TrialMemories, device: Device
) -> ShapeForecast:
    model, resolution, batch_size, micro_batch, optimizer, trained = key
    slowest = max(trials, key=lambda trial: times[trial.identity].step_s)
    memory: TrialMemory = max(map(memories.of, _distinct(trials)), key=lambda each: each.peak_bytes)
    time = times[slowest.identity]
    estimate = memory.estimate if device.is_gpu else None
    return ShapeForecast(
        model=model,
        resolution=resolution,
        batch_size=batch_size,
        micro_batch=micro_batch,
        optimizer=optimizer,
        trained=trained,
        precision=device.precision,
        trials=len(trials),
        step_flops=batch_size * image_flops(slowest.candidate.config).step,
        step_s=time.step_s,
        rate=time.source,
        peak_bytes=memory.peak_bytes,
        memory=memory.source,
        largest_micro_batch=None if estimate is None else largest_micro_batch(estimate, device.memory_bytes),
        trials_per_device=None if estimate is None else trials_that_fit(memory.peak_bytes, device.memory_bytes),
    )


def _distinct(trials: Iterable[Trial]) -> list[Trial]:
    """Return trials that differ in more than their seeds."""
    return list({trial.candidate.config.with_values({"seed": 0}): trial for trial in trials}.values())


def _missing(studies: Sequence[Planned]) -> list[str]:
    return [f"{each.space.name}: missing {', '.join(dict.fromkeys(each.missing))}" for each in studies if each.missing]


def _too_large(shapes: Iterable[ShapeForecast]) -> list[str]:
    """Return a line for each shape of which not even one image fits, or that will run in smaller micro-batches."""
    lines = []
    for each in shapes:
        largest = each.largest_micro_batch
        what = f"{each.model} at {each.resolution} px, batches of {each.batch_size}, {each.optimizer}"
        if largest == 0:
            lines.append(f"{what}: not even one image fits the device's memory")
        elif largest is not None and largest < each.micro_batch:
            lines.append(f"{what}: fits in micro-batches of {largest} at most: workers halve theirs until it fits")
    return lines
