"""Expected times of trials: from their FLOPs, corrected by what trials of the same shape took."""

from collections import defaultdict
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from revit.training.trial_flops import ImageFlops, TrialSizes, image_flops, trial_flops
from study.ledger.records import TrialRecord
from study.ledger.schema import (
    DEVICE_TAG,
    NUM_ALL_TAG,
    NUM_STEPS_DONE,
    NUM_TEST_TAG,
    NUM_TRAIN_TAG,
    TRAIN_TIME_S,
    num_test_name,
)
from study.trial import Trial

SHAPE_FIELDS = (
    *(f"model.{name}" for name in ("name", "attn_out_proj", "trained", "frozen", "adapter", "adapter_rank")),
    "resolution",
    "batch_size",
)
"""Config fields on which the time of a training step depends."""
S_PER_FLOP = 1e-12
"""Seconds of a FLOP where no trial has finished: trials compare all the same."""
ONE_SHAPE = ImageFlops(step=1.0, forward=1 / 3)
"""FLOPs of an image where all trials have one shape: to count them, torch is imported, which takes seconds."""
CPU = "cpu"

Shape = tuple[str, ...]
"""Values of SHAPE_FIELDS, as text."""


class Measured(NamedTuple):
    """FLOPs of training steps, and the seconds that they took."""

    flops: float = 0.0
    seconds: float = 0.0


def shape_of(trial: Trial) -> Shape:
    """Return the shape of a trial: every image takes the same time in all trials of one shape."""
    return tuple(map(str, attrgetter(*SHAPE_FIELDS)(trial.candidate.config)))


class TrialCosts:
    """Expected times of the trials of a launch.

    Of a shape of which no trial has finished, FLOPs count, at the mean speed of the others.

    Args:
        trials: trials to compare; of a search whose point is not known yet, the trial that awaits it.
        records: of the ledger: times of finished trials are taken over.
        device: `cuda` or `cpu`: only of trials on such a device. Once trials of the launch have ended, only of trials
            on devices of the same names as theirs.
    """

    def __init__(self, trials: Iterable[Trial], records: Iterable[TrialRecord] = (), device: str = CPU) -> None:
        self._examples: dict[Shape, Trial] = {}
        for trial in trials:
            self._examples.setdefault(shape_of(trial), trial)
        self._is_uniform = len(self._examples) == 1
        self._measured: dict[tuple[Shape, str], Measured] = defaultdict(Measured)
        self._own_devices: set[str] = set()
        for record in records:
            if TRAIN_TIME_S in record.metrics and (record.tags.get(DEVICE_TAG, CPU) == CPU) == (device == CPU):
                self._take_over(record)

    @property
    def is_measured(self) -> bool:
        """True once the time of a trial is known."""
        return bool(self._measured)

    def measure(self, trial: Trial, num_steps: float, train_time_s: float, device: str) -> None:
        """Take over what a trial of this launch took.

        Args:
            num_steps: optimizer steps for which it was trained.
            train_time_s: seconds of these steps.
            device: name of its device, as in the ledger.
        """
        shape = shape_of(trial)
        self._examples.setdefault(shape, trial)
        self._own_devices.add(device)
        self._add(shape, device, num_steps, train_time_s)

    def flops(self, trial: Trial) -> float:
        """Return the FLOPs of a trial: of its training steps, and of its evaluations."""
        return sum(trial_flops(trial.candidate.config, sizes_of(trial), self._image_flops(trial)))

    def flops_left(self, trial: Trial) -> float:
        """Return the FLOPs of a trial without those of the steps that the ledger has."""
        is_begun = trial.record is not None and not trial.record.state.is_terminal
        share_done = trial.record.last_step / trial.num_steps if trial.record is not None and is_begun else 0.0
        return self.flops(trial) * (1 - share_done)

    def s_per_flop(self, shape: Shape) -> float:
        """Return the seconds that a FLOP takes in trials of a shape."""
        devices = self._own_devices or {device for _, device in self._measured}
        in_scope = [(key[0], each) for key, each in self._measured.items() if key[1] in devices]
        of_shape = [each for measured, each in in_scope if measured == shape]
        found = of_shape or [each for _, each in in_scope]
        return sum(each.seconds for each in found) / sum(each.flops for each in found) if found else S_PER_FLOP

    def seconds(self, trial: Trial) -> float:
        """Return the expected seconds that are left of a trial."""
        return self.flops_left(trial) * self.s_per_flop(shape_of(trial))

    def _take_over(self, record: TrialRecord) -> None:
        shape = tuple(record.params.get(name, "") for name in SHAPE_FIELDS)
        num_steps = record.metrics.get(NUM_STEPS_DONE, 0.0)
        if shape in self._examples and num_steps:
            self._add(shape, record.tags.get(DEVICE_TAG, CPU), num_steps, record.metrics[TRAIN_TIME_S])

    def _add(self, shape: Shape, device: str, num_steps: float, train_time_s: float) -> None:
        example = self._examples[shape]
        flops = self._image_flops(example).step * num_steps * example.candidate.config.batch_size
        sums = self._measured[shape, device]
        self._measured[shape, device] = Measured(sums.flops + flops, sums.seconds + train_time_s)

    def _image_flops(self, trial: Trial) -> ImageFlops:
        return ONE_SHAPE if self._is_uniform else image_flops(trial.candidate.config)


def sizes_of(trial: Trial) -> TrialSizes:
    """Return the numbers of images of a trial."""
    num_all, fraction = trial.sizes[NUM_ALL_TAG], trial.candidate.config.val_fraction
    return TrialSizes(
        num_used=trial.sizes[NUM_TRAIN_TAG],
        num_all=num_all,
        num_val=round(num_all * fraction / (1 - fraction)),
        num_test=trial.sizes.get(NUM_TEST_TAG, trial.num_test),
        num_further=sum(trial.sizes.get(num_test_name(label), 0) for label in trial.test_sets),
    )
