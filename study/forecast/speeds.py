"""Expected seconds of trials on a device: measured where they can be, else assumed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Literal, NamedTuple

from revit.training.trial_flops import ImageFlops, image_flops, trial_flops
from study.forecast.devices import Device
from study.forecast.trial_costs import SHAPE_FIELDS, Shape, shape_of, sizes_of
from study.ledger.records import Rehearsal, TrialRecord
from study.ledger.schema import DEVICE_TAG, NUM_STEPS_DONE, TRAIN_TIME_S, WORKERS_TAG
from study.ledger.states import TrialState
from study.trial import Trial

Source = Literal["ledger", "rehearsal", "scaled", "assumption"]
"""Origin of a rate: finished trials of the shape on such a device; a rehearsal; a rehearsal with another batch, or the
table of devices, as much faster or slower as other shapes were on such a device; that table alone."""
BATCH_SIZE = "batch_size"
ONE_PER_IMAGE = ImageFlops(step=1.0, forward=1.0)
OTHER_S = 3.0
"""Seconds of a trial beside its steps and evaluations, where none was measured: to build the model, to write files."""


class TrialTime(NamedTuple):
    """Expected seconds of a trial.

    Attributes:
        step_s: of an optimizer step.
        train_s: of the steps that are left.
        other_s: of evaluations, and of all else.
        source: origin of the rate of its steps.
    """

    step_s: float
    train_s: float
    other_s: float
    source: Source

    @property
    def seconds(self) -> float:
        """Seconds that the trial occupies its device."""
        return self.train_s + self.other_s


class Speeds:
    """Expected times of trials on a device.

    Args:
        trials: those whose times are asked for.
        records: trials of the ledger.
        rehearsals: of the ledger, the newest first.
    """

    def __init__(
        self,
        device: Device,
        trials: Iterable[Trial],
        records: Iterable[TrialRecord] = (),
        rehearsals: Iterable[Rehearsal] = (),
    ) -> None:
        self._device = device
        self._examples: dict[Shape, Trial] = {}
        for trial in trials:
            self._examples.setdefault(shape_of(trial), trial)
        self._steps: dict[Shape, list[tuple[float, float]]] = defaultdict(list)
        self._other: dict[Shape, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
        for record in records:
            if record.state == TrialState.FINISHED and _is_on(device, record.tags):
                self._take_over(record)
        self._rehearsed: dict[Shape, Rehearsal] = {}
        for rehearsal in rehearsals:
            if _is_on(device, rehearsal.environment):
                self._rehearsed.setdefault(_shape(rehearsal.params), rehearsal)
        self._correction = self._measured_by_assumed()

    def of(self, trial: Trial) -> TrialTime:
        """Return the expected time of what is left of a trial."""
        shape = shape_of(trial)
        step_s, source = self._step_s(shape, trial)
        is_begun = trial.record is not None and not trial.record.state.is_terminal
        num_done = trial.record.last_step if trial.record is not None and is_begun else 0
        return TrialTime(step_s, step_s * max(0, trial.num_steps - num_done), self._other_s(shape, trial), source)

    def _step_s(self, shape: Shape, trial: Trial) -> tuple[float, Source]:
        if shape in self._steps:
            return self._mean_step_s(shape), "ledger"
        if (rehearsal := self._rehearsal_of(shape)) is not None:
            ratio = trial.candidate.config.batch_size / int(rehearsal.params[BATCH_SIZE])
            return ratio * rehearsal.step_time_s, "rehearsal" if ratio == 1 else "scaled"
        assumed = self._assumed_step_s(trial)
        return (assumed, "assumption") if self._correction is None else (assumed * self._correction, "scaled")

    def _rehearsal_of(self, shape: Shape) -> Rehearsal | None:
        """Return the newest rehearsal of a shape, else of the largest batch of the same; None if there is none."""
        if shape in self._rehearsed:
            return self._rehearsed[shape]
        same = [each for other, each in self._rehearsed.items() if _without_batch(other) == _without_batch(shape)]
        return max(same, key=lambda each: int(each.params[BATCH_SIZE]), default=None)

    def _other_s(self, shape: Shape, trial: Trial) -> float:
        """Return the seconds beside training: as measured on the dataset, else on others, else by evaluated images.

        Only trials on the same further test sets count as measured.
        """
        by_images, config = self._other.get(shape, {}), trial.candidate.config
        dataset, test_sets = config.dataset, str(config.test_sets)
        alike = [each for (_, others), few in by_images.items() if others == test_sets for each in few]
        measured = by_images.get((dataset, test_sets)) or alike
        if measured:
            return median(measured)
        num_evaluated = self._num_evaluated(trial)
        if (rehearsal := self._rehearsal_of(shape)) is not None:
            return OTHER_S + num_evaluated / rehearsal.eval_images_per_s
        flops, batch_size = image_flops(trial.candidate.config), trial.candidate.config.batch_size
        step_s, _ = self._step_s(shape, trial)
        return OTHER_S + num_evaluated * step_s / batch_size * flops.forward / flops.step

    def _take_over(self, record: TrialRecord) -> None:
        shape, num_steps = _shape(record.params), record.metrics.get(NUM_STEPS_DONE, 0.0)
        train_s = record.metrics.get(TRAIN_TIME_S)
        if not num_steps or train_s is None:
            return
        self._steps[shape].append((train_s, num_steps))
        if record.duration_s is not None:
            images = record.params.get("dataset", ""), record.params.get("test_sets", "()")
            self._other[shape][images].append(max(0.0, record.duration_s - train_s))

    def _mean_step_s(self, shape: Shape) -> float:
        measured = self._steps[shape]
        return sum(seconds for seconds, _ in measured) / sum(steps for _, steps in measured)

    def _measured_by_assumed(self) -> float | None:
        """Return how much longer steps of measured shapes take than the table says; None where none is measured."""
        ratios = [
            self._step_s(shape, trial)[0] / self._assumed_step_s(trial)
            for shape, trial in self._examples.items()
            if shape in self._steps or self._rehearsal_of(shape) is not None
        ]
        return median(ratios) if ratios else None

    def _assumed_step_s(self, trial: Trial) -> float:
        config = trial.candidate.config
        return self._device.assumed_step_s(image_flops(config), config.batch_size)

    @staticmethod
    def _num_evaluated(trial: Trial) -> float:
        config = trial.candidate.config
        num_images: float = trial_flops(config, sizes_of(trial), ONE_PER_IMAGE).evaluation
        return num_images


def _is_on(device: Device, tags: Mapping[str, str]) -> bool:
    return device.is_called(tags.get(DEVICE_TAG, "")) and tags.get(WORKERS_TAG, "1") == "1"


def _without_batch(shape: Shape) -> Shape:
    return tuple(value for name, value in zip(SHAPE_FIELDS, shape, strict=True) if name != BATCH_SIZE)


def _shape(params: Mapping[str, str]) -> Shape:
    return tuple(params.get(name, "") for name in SHAPE_FIELDS)
