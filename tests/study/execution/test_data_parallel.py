"""Trials of several workers, on gloo."""

import threading
import time
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from revit.errors import InputError
from study.execution import data_parallel
from study.execution.data_parallel import cause_of
from study.execution.failures import classify

DIED = ActorDiedError()


def failed_to_start() -> BaseException:
    try:
        raise WorkerGroupStartupFailedError("a worker failed to initialize") from DIED
    except WorkerGroupStartupFailedError as error:
        return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (WorkerGroupError("", {1: WorkerHealthCheckFailedError("", DIED)}), DIED),
        (ControllerError(DIED), DIED),
        (ControllerError(failed_to_start()), DIED),
    ],
)
def test_a_worker_that_dies_is_lost(error: Any, cause: BaseException) -> None:
    assert cause_of(error) is cause
    assert classify(cause) == "lost worker"


def test_the_error_of_a_worker_explains_that_others_have_lost_it() -> None:
    own = InputError("no images")
    lost = WorkerHealthCheckFailedError("", DIED)
    assert cause_of(WorkerGroupError("", {0: lost, 1: own, 2: lost})) is own
    remote = RayTaskError("fine_tune", "", own)
    assert cause_of(ControllerError(remote)) is own


def test_worker_0_waits_in_its_report_until_tune_has_decided() -> None:
    returned: list[float] = []
    worker = threading.Thread(
        target=lambda: returned.append(data_parallel.send_report({"step": 4}) or time.monotonic())
    )
    assert data_parallel._take_report() is None
    worker.start()
    while (update := data_parallel._take_report()) is None:
        time.sleep(0.01)
    assert update == {"step": 4}
    worker.join(timeout=0.2)
    assert worker.is_alive()
    decided = time.monotonic()
    data_parallel._let_continue()
    worker.join()
    assert returned[0] >= decided
