"""The upload of a launch's images or weights to the storage, for nodes that lack them."""

from collections.abc import Callable, Iterable
from functools import partial

from revit.errors import InputError, first_line
from study.execution.shared_inputs import SharedInput, images_of, test_sets_of, weights_of
from study.system.storage import Storage
from study.trial import Trial


def upload_inputs(trials: Iterable[Trial], storage: Storage, log: Callable[[str], None]) -> None:
    """Upload what trials read, unless it is in the storage. It stays there: later launches share it.

    Args:
        log: called with a line before each upload.

    Raises:
        InputError: the storage cannot be written.
    """
    for wanted, label in _labels(trials).items():
        try:
            _upload(wanted, label, storage, log)
        except OSError as error:
            raise InputError(f"--storage = {storage.address}: cannot take {label}: {first_line(error)}") from error


def upload_added(
    trials: Iterable[Trial], storage: Storage, log: Callable[[str], None], should_stop: Callable[[], bool]
) -> None:
    """Upload what trials read that a search adds. While the storage is unavailable, wait, and log a line."""
    for wanted, label in _labels(trials).items():
        storage.retry(partial(_upload, wanted, label, storage, log), log=log, should_stop=should_stop)


def _upload(wanted: SharedInput, label: str, storage: Storage, log: Callable[[str], None]) -> None:
    if not storage.exists(wanted.stored_name):
        log(f"uploading {label} to {storage.address}")
        storage.upload(wanted.path, wanted.stored_name)


def _labels(trials: Iterable[Trial]) -> dict[SharedInput, str]:
    """Return what a person calls each input that nodes may lack: all but weights in the package."""
    labels: dict[SharedInput, str] = {}
    for trial in trials:
        config, weights = trial.candidate.config, weights_of(trial)
        labels[images_of(trial)] = f"images of {config.dataset}"
        labels |= {each: f"images of {label}" for label, each in test_sets_of(trial).items()}
        if weights is not None and not weights.is_packaged:
            labels[weights] = f"weights of {config.model.name}"
    return labels
