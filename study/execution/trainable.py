"""The adapter from Ray Tune to `revit.training.fine_tune`. Runs in Ray's worker processes."""

import gc
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from traceback import clear_frames
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from revit.config import FineTuneConfig, from_dict
from revit.errors import DivergedError
from revit.functions import load_function, source_digest
from revit.identity import TRAINING_VERSION
from revit.source import import_all
from study.execution.environment import describe, library_versions, version_difference
from study.execution.failures import CodeChangedError, NodeUnfitError, WorkFolderLostError, classify, summarize
from study.execution.gpu_share import set_memory_fence
from study.execution.next_trial import NextTrial, ReadyTrial
from study.execution.node_inputs import find_images, find_weights
from study.execution.reporter import Send, TrialReporter
from study.execution.trial_task import TrialTask
from study.execution.work_folder import WORKER_EXIT_TIMEOUT_S, WorkFolder, open_work_folder
from study.layout import BUILT, CONFIG, INTERNALS, MODEL, PREDICTIONS
from study.ledger.schema import BUILT_TAG, MICRO_BATCH_TAG
from study.ledger.states import TrialState

if TYPE_CHECKING:
    from revit.training.fine_tune import TrialData
    from revit.training.worker_group import WorkerGroup

THREAD_EXIT_TIMEOUT = "TUNE_FUNCTION_THREAD_TIMEOUT_S"
"""Ray's variable: how long a pruned trial's thread may take to free its memory. After 2 s the next trial is lost."""


def train_trial(params: dict[str, Any]) -> None:
    """Train one task to its end, from its checkpoint where there is one.

    Reports `tags`, then `rows`, with whether the state was `saved`, and at the end `state`; each with `identity` and
    `peak_bytes`, the peak memory of its process. Artifacts are in the work folder by then. Where the device is out of
    memory, it continues with half the micro-batch: the same gradient, and the same trial.

    Rows of a trial that can still be pruned come with `train_time_s`. Where it is pruned, Tune ends this thread by
    SystemExit, and the process trains its next task.

    Raises:
        CodeChangedError: this process imported other code than the launch began with, or other functions of the user.
        WorkFolderLostError: the work folder was removed.
        NodeUnfitError: this node lacks a library, images or weights, or it cannot use the storage.
    """
    task: TrialTask = params["task"]
    os.environ[THREAD_EXIT_TIMEOUT] = f"{WORKER_EXIT_TIMEOUT_S:.0f}"
    _check_code(task)  # it imports everything
    if task.grant.num_workers > 1:
        from study.execution.data_parallel import train_in_group

        train_in_group(partial(train_worker, task), task.grant)
        return
    from revit.training.worker_group import ALONE

    train_worker(task, ALONE, tune.report)


def train_worker(task: TrialTask, group: "WorkerGroup", send: Send) -> None:
    """Train a task in this process, alone or as one worker of a group. Only worker 0 writes files."""
    _check_code(task)
    _check_functions(task)
    config = from_dict(task.config)
    with open_work_folder(task, is_writer=group.rank == 0) as work, _memory_given_back(task.grant.device):
        try:
            while not _train_or_shrink(task, config, work, group, send):
                _free_memory()  # only now is the error gone, which held references to tensors
        except FileNotFoundError as error:
            if work.artifacts.is_dir() or group.rank > 0:
                raise
            raise WorkFolderLostError(f"{work.path} was removed while its trial ran") from error


@contextmanager
def _memory_given_back(device: str) -> Iterator[None]:
    """Give the memory of the GPU back at the end: while this worker is idle, others may share it.

    An error, or the SystemExit of a pruned trial, would keep the tensors of the frames that it came through.
    """
    try:
        yield
    except BaseException as error:
        while_raised: BaseException | None = error
        while while_raised is not None:
            clear_frames(while_raised.__traceback__)
            while_raised = while_raised.__context__
        raise
    finally:
        if device == "cuda":
            _free_memory()


def _check_code(task: TrialTask) -> None:
    try:
        source = _import_all()  # empty where files changed while they were read
    except (ImportError, OSError) as error:  # nobody has asked a node that joined late
        reason = f"it cannot import what trials need: {summarize(error)}"
        if difference := version_difference(library_versions(), task.versions):
            reason += f"; it has {difference}"
        raise NodeUnfitError(ray.get_runtime_context().get_node_id(), reason) from error
    if (source, TRAINING_VERSION) != (task.source, task.training_version):
        worker = f"source {source or 'changing'}, training version {TRAINING_VERSION}"
        launch = f"source {task.source}, training version {task.training_version}"
        raise CodeChangedError(
            f"a worker on {platform.node()} found other code in revit/ ({worker}) than this launch began with "
            f"({launch}): it was changed meanwhile, or machines differ; run the same command again"
        )


def _check_functions(task: TrialTask) -> None:
    sys.path += [folder for folder in task.import_folders if folder not in sys.path]
    for name, digest in task.functions.items():
        found = _import_function(name)
        if found != digest:
            raise CodeChangedError(
                f"a worker on {platform.node()} found another source of {name} ({found or 'changing'}) than this "
                f"launch began with ({digest}): it was changed meanwhile, or machines differ; "
                "run the same command again"
            )


_micro_batches: dict[tuple[object, ...], int] = {}
"""Largest micro-batch that this worker has fitted into the device's memory, by what determines the memory needed."""


@cache
def _import_all() -> str:
    """Import what a trial needs, once, and return its digest. With the garbage collector off it is 20 % faster."""
    gc.disable()
    digest = import_all()
    gc.freeze()
    gc.enable()
    return digest


@cache
def _import_function(name: str) -> str:
    """Import a function of the user, once, and return the digest of its source; empty where it changed meanwhile."""
    before = source_digest(name)
    load_function(name)
    return before if before == source_digest(name) else ""


def _train_or_shrink(
    task: TrialTask, config: FineTuneConfig, work: WorkFolder, group: "WorkerGroup", send: Send
) -> bool:
    """Train to the end; return False, with half the micro-batch next time, where memory is short."""
    key = (config.model, config.resolution, config.batch_size, task.grant.num_gpus)
    micro = config.micro_batch or config.batch_size
    if _micro_batches.get(key, micro) < micro:
        micro = _micro_batches[key]
        config = config.with_values({"micro_batch": micro})
    try:
        _train(task, config, work, group, send)
    except Exception as error:
        if classify(error) != "device out of memory" or micro == 1:
            raise
        _micro_batches[key] = -(-micro // 2)
        return False
    return True


def _train(task: TrialTask, config: FineTuneConfig, work: WorkFolder, group: "WorkerGroup", send: Send) -> None:
    import torch

    from revit.budget import compile_budget
    from revit.models.internals_file import write_internals
    from revit.training.built import built_digest
    from revit.training.fine_tune import fine_tune
    from revit.training.inspection import inspect_trained
    from revit.training.prediction_file import write_predictions

    work.remove_artifacts()
    device = torch.device("cpu") if task.grant.device == "cpu" else torch.device("cuda", torch.cuda.current_device())
    if device.type == "cuda":
        set_memory_fence(task.grant.num_gpus)
    torch.set_num_threads(task.grant.num_cpus if device.type == "cpu" else 1)

    ready = _next_trial.take(task)
    data = _find_data(task, config, work.should_stop) if ready is None else ready.data
    budget = compile_budget(config, len(data.splits.train), data.splits.num_all)
    resume = work.find_checkpoint(group)
    prepared = ready.prepared if ready is not None and resume is None else None
    del ready  # of a trial that resumes, the first batches are of no use
    reporter = TrialReporter(
        task.identity,
        work,
        set(budget.eval_steps),
        is_prunable=task.is_prunable,
        is_replay=resume is not None,
        num_concurrent=task.grant.max_concurrent_trials,
        send=send,
    )

    def write_built(built: dict[str, Any]) -> None:
        work.write_artifact(CONFIG, _write_json, task.config)
        work.write_artifact(BUILT, _write_json, built)
        num_threads, compiled = torch.get_num_threads(), task.grant.compiled
        environment = describe(device, num_threads=num_threads, compiled=compiled, num_workers=group.size)
        tags = {**environment, MICRO_BATCH_TAG: str(built["micro_batch"]), BUILT_TAG: built_digest(built)}
        reporter.report({"tags": tags})
        if task.following is not None:
            _next_trial.begin(task.following)

    try:
        result = fine_tune(
            config,
            data,
            reporter.add_rows,
            device=device,
            resume=resume,
            compile_model=task.grant.compiled,
            on_built=write_built,
            should_report_now=work.should_stop,
            group=group,
            prepared=prepared,
        )
    except DivergedError as error:
        reporter.report({"state": TrialState.DIVERGED, "message": str(error)})
        return
    except Exception:
        reporter.report({})
        raise
    work.write_artifact(PREDICTIONS, write_predictions, result.evaluations)
    if task.keep_model:
        work.write_artifact(MODEL, write_model, result.model)
        if internals := inspect_trained(result.model, config, data.store):
            work.write_artifact(INTERNALS, write_internals, internals)
    reporter.report({"state": TrialState.FINISHED}, [{**result.metrics, "step": budget.num_steps}])


def _find_data(task: TrialTask, config: FineTuneConfig, should_stop: Callable[[], bool]) -> "TrialData":
    from revit.training.fine_tune import TrialData

    images = find_images(task.images, task.storage, should_stop)
    weights = find_weights(task.weights, task.images, task.storage, should_stop)
    test_sets = {label: find_images(each, task.storage, should_stop) for label, each in task.test_sets.items()}
    data = TrialData.from_store(config, images, weights, task.grant.num_cpus, test_sets)
    return data.with_one_eval_batch(config.batch_size) if task.is_rehearsal else data


def _prepare(task: TrialTask) -> ReadyTrial:
    """Prepare a trial in a thread, while another one trains."""
    from revit.training.preparation import prepare

    _check_functions(task)
    config = from_dict(task.config)
    data = _find_data(task, config, should_stop=lambda: False)
    return ReadyTrial(data, prepare(config, data, pin=task.grant.device == "cuda"))


_next_trial = NextTrial(_prepare)
"""The trial that this worker probably trains next."""


def _free_memory() -> None:
    """Free the memory of tensors that are gone, on the GPU for other processes, too.

    PyTorch itself reuses what it caches (docs of `torch.cuda.empty_cache`), so this is for between trials only: it
    waits for the GPU.
    """
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def _write_json(path: Path, record: object) -> None:
    path.write_text(json.dumps(record, indent=1) + "\n")


def write_model(path: Path, model: Any) -> None:
    """Write the weights of a model as a safetensors file."""
    from safetensors.torch import save_file

    save_file({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}, path)
