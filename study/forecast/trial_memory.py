"""Expected peak memory of trials on a device: measured where it can be, else traced."""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Literal, NamedTuple

from revit.config import FineTuneConfig
from revit.datasets.registry import DATASETS
from revit.training.memory_shape import MIN_CLASSES, MemoryEstimate, micro_batch_of, shape_memory
from study.forecast.devices import Device
from study.forecast.trial_costs import SHAPE_FIELDS
from study.ledger.records import Rehearsal, TrialRecord
from study.ledger.schema import DEVICE_TAG, MICRO_BATCH_TAG, PEAK_MEMORY
from study.ledger.states import TrialState
from study.trial import Trial

MEMORY_FIELDS = (*SHAPE_FIELDS, "optimizer.name", "ema_decay")
"""Config fields by which memory that was measured is taken over."""
WORKER_BYTES = 900_000_000
"""Resident memory of a worker before it has a model or images, measured: torch and timm."""

Source = Literal["ledger", "rehearsal", "traced", "unknown"]


class TrialMemory(NamedTuple):
    """Expected peak memory of a trial, of its process above that before it trains.

    Attributes:
        peak_bytes: with the micro-batch of its config; 0 where it is unknown.
        estimate: of any micro-batch, traced on fake tensors; None for a function of the user that cannot be.
    """

    peak_bytes: int
    estimate: MemoryEstimate | None
    source: Source


class TrialMemories:
    """Expected peak memory on a device.

    Args:
        records: trials of the ledger.
        rehearsals: of the ledger.
    """

    def __init__(
        self, device: Device, records: Iterable[TrialRecord] = (), rehearsals: Iterable[Rehearsal] = ()
    ) -> None:
        self._device = device
        self._recorded: dict[tuple[str, ...], float] = {}
        self._rehearsed: dict[tuple[str, ...], float] = {}
        for record in records:
            is_whole = record.state == TrialState.FINISHED and device.is_called(record.tags.get(DEVICE_TAG, ""))
            if is_whole and _micro_batch(record.params) == record.tags.get(MICRO_BATCH_TAG):
                _keep_largest(self._recorded, record.params, record.metrics.get(PEAK_MEMORY))
        for rehearsal in rehearsals:
            if device.is_called(rehearsal.environment.get(DEVICE_TAG, "")):
                _keep_largest(self._rehearsed, rehearsal.params, rehearsal.peak_memory_bytes)

    def of(self, trial: Trial) -> TrialMemory:
        """Return the expected peak memory of a trial."""
        config, device = trial.candidate.config, self._device
        estimate = _estimate(config, device)
        key = tuple(map(str, attrgetter(*MEMORY_FIELDS)(config)))
        if key in self._recorded:
            return TrialMemory(round(self._recorded[key]), estimate, "ledger")
        if key in self._rehearsed:
            return TrialMemory(round(self._rehearsed[key]), estimate, "rehearsal")
        if estimate is None:
            return TrialMemory(0, None, "unknown")
        return TrialMemory(estimate.peak_bytes(micro_batch_of(config)), estimate, "traced")


def _estimate(config: FineTuneConfig, device: Device) -> MemoryEstimate | None:
    try:
        return shape_memory(config, _num_classes(config), device.precision, on_gpu=device.is_gpu)
    except Exception:  # whatever a function of the user can raise on fake tensors
        return None


def _keep_largest(peaks: dict[tuple[str, ...], float], params: Mapping[str, str], peak: float | None) -> None:
    if peak is not None:
        key = tuple(params.get(name, "") for name in MEMORY_FIELDS)
        peaks[key] = max(peaks.get(key, 0.0), peak)


def _micro_batch(params: Mapping[str, str]) -> str | None:
    """Return the images of a forward pass that a config asks for, as text."""
    batch_size, micro_batch = params.get("batch_size"), params.get("micro_batch", "None")
    return batch_size if micro_batch == "None" else micro_batch


def _num_classes(config: FineTuneConfig) -> int:
    return DATASETS[config.dataset].num_classes if config.dataset in DATASETS else MIN_CLASSES
