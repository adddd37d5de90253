"""Data parallel training of one trial: a group of Ray Train's workers inside a trial of Ray Tune.

The group lives in the trial's own placement group, so that Tune alone counts resources. Ray Train's controller runs in
the process of the trial, which hands the reports of worker 0 to Tune one by one.
"""

import asyncio
import os
import queue
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, cast

import ray
from ray import tune
from ray.exceptions import RayTaskError
from ray.train.torch import TorchConfig
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import WorkerGroup as TrainWorkers
from ray.train.v2._internal.execution.worker_group import WorkerGroupPollStatus
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.train.v2._internal.execution.worker_group.worker import Worker
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.exceptions import ControllerError, TrainingFailedError, WorkerGroupError
from ray.train.v2.api.result import Result
from ray.train.v2.torch.torch_trainer import TorchTrainer
from ray.util.placement_group import PlacementGroup

from revit.errors import WorkerLostError
from revit.training.worker_group import WorkerGroup
from study.execution.failures import NodeUnfitError, classify
from study.execution.reporter import Send
from study.execution.resources import ResourceGrant

QUIET_TRAIN = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a lost node is a lost worker: the trial is requeued
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # worker 0 waits in each report until it is fetched
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",  # after an error, others may wait for a worker that is gone
}


SAME_GPU = "Duplicate GPU detected"
"""Text in NCCL's error where two processes of a group use one GPU. They would on every retry."""


def train_in_group(work: Callable[[WorkerGroup, Send], None], grant: ResourceGrant) -> None:
    """Run `work` in each worker of a trial, as one process group of torch.distributed, until all have returned.

    Reports of worker 0 go to Tune; those of the others are ignored. Where Tune ends this thread meanwhile, by
    SystemExit, the workers are killed.

    Raises:
        Exception: what a worker raised, or how it died, whichever explains the others.
    """
    os.environ.update(QUIET_TRAIN)
    worker = {"CPU": float(grant.num_cpus), "GPU": float(grant.num_gpus)}
    with tempfile.TemporaryDirectory() as unused:  # of Ray's checkpoints: ours are in the trial's work folder
        trainer = TrialTrainer(
            partial(_run_worker, work),
            scaling_config=ScalingConfig(
                num_workers=grant.num_workers, use_gpu=grant.device == "cuda", resources_per_worker=worker
            ),
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if grant.device == "cuda" else "gloo"),
            run_config=RunConfig(
                name="group",
                storage_path=unused,
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),
            ),
        )
        try:
            trainer.fit()
        except TrainingFailedError as error:
            raise cause_of(error) from error


def _run_worker(work: Callable[[WorkerGroup, Send], None]) -> None:
    """Run `work` in this worker of the group.

    Raises:
        NodeUnfitError: this node has fewer GPUs than it offers to Ray.
    """
    group = WorkerGroup.joined()
    try:
        work(group, send_report if group.is_first else lambda update: None)
    except WorkerLostError as error:
        if SAME_GPU not in str(error):
            raise
        reason = "it has fewer GPUs than it offers to Ray: two workers of a trial got the same one (NCCL)"
        raise NodeUnfitError(ray.get_runtime_context().get_node_id(), reason) from error


class TrialPlacementGroup(DefaultPlacementGroupHandle):
    """The placement group of the trial. It outlives the group of workers: Tune gives it to the next trial."""

    def shutdown(self) -> None:
        """Leave it to Tune."""


class TrialWorkers(TrainWorkers):
    """Workers in the bundles of the trial's placement group. Those of a finished trial train the next one.

    They have imported everything. Tune runs trials in this process only in its one placement group, of one size.
    """

    _kept: ClassVar[list[Worker]] = []

    def _create_placement_group(self, *_: object) -> TrialPlacementGroup:
        return TrialPlacementGroup(cast(PlacementGroup, ray.util.get_current_placement_group()))

    def _create_workers(self, *args: Any, **options: Any) -> list[Worker]:
        kept, TrialWorkers._kept = TrialWorkers._kept, []
        return self._assign_worker_ranks(kept) if kept else super()._create_workers(*args, **options)

    def keep(self) -> None:
        """Keep the processes beyond this group, which is about to be shut down."""
        TrialWorkers._kept = self.get_workers().copy()
        self.get_workers().clear()


class TrialController(TrainController):
    """Controller of a group in the trial's placement group."""

    worker_group_cls = TrialWorkers


class TrialScalingPolicy(FixedScalingPolicy):
    """The workers of the trial, always. Ray's asks an autoscaler for them once more, beside the placement group."""

    def _send_resource_request(self) -> None:
        pass

    def _maybe_send_resource_request(self) -> None:
        pass

    def _cancel_resource_request(self) -> None:
        pass


class TrialTrainer(TorchTrainer):
    """Trainer whose controller runs in this process; by default it is an actor, and cannot be ended from here."""

    def _create_default_callbacks(self) -> list[Any]:
        unneeded = DatasetsCallback, PlacementGroupCleanerCallback  # each starts an actor
        needed = [each for each in super()._create_default_callbacks() if not isinstance(each, unneeded)]
        return [*needed, ReportsToTune()]

    def _initialize_and_run_controller(self, **parts: Any) -> Result:
        scaling = TrialScalingPolicy(cast(ScalingConfig, self.scaling_config))
        controller = TrialController(**{**parts, "scaling_policy": scaling})
        try:
            asyncio.run(controller.run())  # type: ignore[no-untyped-call]  # Ray leaves it so
            return controller.get_result()
        finally:
            if workers := controller.get_worker_group():  # Tune ends the trial
                workers.abort()  # type: ignore[no-untyped-call]  # Ray leaves it so


class ReportsToTune(WorkerGroupCallback):
    """Reports to Tune what worker 0 sends, and lets it continue once Tune has let the trial continue."""

    def after_worker_group_start(self, worker_group: TrainWorkers) -> None:
        """Take over the group."""
        self._group = cast(TrialWorkers, worker_group)
        self._has_finished = False

    def after_worker_group_poll_status(self, worker_group_status: WorkerGroupPollStatus) -> None:
        """Report to Tune, which raises SystemExit where it ends the trial."""
        while not worker_group_status.errors and (update := self._group.execute_single(0, _take_report)):
            tune.report(update)
            self._group.execute_single(0, _let_continue)
        self._has_finished = worker_group_status.finished and not worker_group_status.errors

    def before_worker_group_shutdown(self, worker_group: TrainWorkers) -> None:
        """Keep the workers of a finished trial: of the callbacks, this is the last."""
        if self._has_finished:
            cast(TrialWorkers, worker_group).keep()


_reports: "queue.Queue[dict[str, Any]]" = queue.Queue()
"""The report of worker 0 that Tune has not had yet."""


def send_report(update: dict[str, Any]) -> None:
    """Send a report from worker 0 to Tune, and wait until Tune has decided that the trial continues."""
    _reports.put(update)
    _reports.join()


def _take_report() -> dict[str, Any] | None:
    try:
        return _reports.get_nowait()
    except queue.Empty:
        return None


def _let_continue() -> None:
    _reports.task_done()


def cause_of(error: TrainingFailedError) -> BaseException:
    """Return the error that explains the others: workers whose group has lost one fail, too."""
    errors: list[BaseException] = []
    if isinstance(error, WorkerGroupError):
        errors = list(error.worker_failures.values())
    elif isinstance(error, ControllerError):
        errors = [error.controller_failure]
    causes = [_unwrap(each) for each in errors or [error]]
    return min(causes, key=lambda cause: classify(cause) == "lost worker")


def _unwrap(error: BaseException) -> BaseException:
    """Return what Ray wraps: how a worker died, or what it raised."""
    if isinstance(error, WorkerHealthCheckFailedError):
        return _unwrap(error.health_check_failure)
    if isinstance(error, RayTaskError):
        return cast(BaseException, error.cause)
    if isinstance(error, WorkerGroupStartupFailedError):
        return error.__cause__ or error
    return error
