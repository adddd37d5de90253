"""Tags of a launch on what it was expected to take, beside what it took."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from study.execution.resources import ResourceGrant
from study.forecast.devices import CPU, DEVICES, Device, devices_here
from study.forecast.study_forecast import ASSUMED_START_S, Forecaster
from study.ledger.ledger import Ledger
from study.ledger.records import TrialRecord
from study.ledger.schema import (
    ACTUAL_PREFIX,
    DEVICE_S,
    DEVICE_TAG,
    ESTIMATE_PREFIX,
    PEAK_BYTES,
    PEAK_MEMORY,
    START_S,
    WALL_S,
)
from study.plan import Plan


def tag_estimate(
    ledger: Ledger,
    launches: Collection[str],
    plans: Sequence[Plan],
    records: Iterable[TrialRecord],
    grant: ResourceGrant,
) -> None:
    """Write what a launch was expected to take when it began.

    Args:
        plans, records: of the ledger, as they were then. Nothing later counts, but it need not be written earlier: the
            first trial is not to wait.
    """
    records = list(records)
    device = _device_of(grant, records)
    start_s = ledger.launches.start_s(on_gpu=device.is_gpu)
    forecaster = Forecaster(
        device,
        grant.max_concurrent_trials,
        records,
        ledger.rehearsals.read(),
        ASSUMED_START_S if start_s is None else start_s,
    )
    for launch in launches:
        ledger.launches.tag(launch, ESTIMATE_PREFIX, forecaster.estimate(plans))


def tag_actual(ledger: Ledger, launches: Collection[str], began_s: float, now_s: float) -> None:
    """Write what a launch took.

    Args:
        began_s, now_s: seconds since 1970 at which it began, and at which it has ended.
    """
    trained = [record for launch in launches for record in ledger.trials_of(launch)]
    own = [each for each in trained if each.duration_s is not None]
    values, tags = actual_values(own, began_s, now_s), _device_tags(own)
    for launch in launches:
        ledger.launches.tag(launch, ACTUAL_PREFIX, values, tags)


def actual_values(trials: Sequence[TrialRecord], began_s: float, now_s: float) -> dict[str, float]:
    """Return what a launch took, from the trials that it ended. Of a resumed one, only the time in it counts."""
    starts = [max(began_s, each.start_s) for each in trials]
    ends = [max(start, each.end_s) for start, each in zip(starts, trials, strict=True)]
    busy_s = max(ends) - min(starts) if trials else 0.0
    peaks = [each.metrics[PEAK_MEMORY] for each in trials if PEAK_MEMORY in each.metrics]
    return {
        WALL_S: now_s - began_s,
        DEVICE_S: sum(ends) - sum(starts),
        START_S: now_s - began_s - busy_s,
        **({PEAK_BYTES: max(peaks)} if peaks else {}),
    }


def _device_tags(trials: Iterable[TrialRecord]) -> Mapping[str, str]:
    names = sorted({each.tags[DEVICE_TAG] for each in trials if DEVICE_TAG in each.tags})
    return {DEVICE_TAG: ", ".join(names)} if names else {}


def _device_of(grant: ResourceGrant, records: Sequence[TrialRecord]) -> Device:
    """Return the device of a launch: of GPUs that this machine does not have, that of the newest trial on one."""
    if grant.device == CPU:
        return DEVICES[CPU]
    here, _ = devices_here()
    if here.is_gpu:
        return here
    names = [each.tags.get(DEVICE_TAG, CPU) for each in records]
    known = (device for name in names for device in DEVICES.values() if device.is_gpu and device.is_called(name))
    return next(known, DEVICES["a100"])
