"""The adapter between one Ray Tune trial and `revit.training.fine_tune`. Runs in Ray's worker processes."""

import gc
import json
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from ray import tune

from revit.config import FineTuneConfig, from_dict
from revit.errors import DivergedError
from revit.identity import TRAINING_VERSION
from revit.source import import_all
from study.execution.environment import describe
from study.execution.failures import CodeChangedError, WorkFolderLostError, classify
from study.execution.trial_task import TrialTask
from study.layout import ARTIFACTS, BUILT, CHECKPOINT, CONFIG, MODEL, PREDICTIONS
from study.ledger.schema import BUILT_TAG, MICRO_BATCH_TAG
from study.ledger.states import TrialState
from study.system.retry import retry_transient

"""Artifacts that every finished trial leaves."""

CHECKPOINT_INTERVAL_S, SAVE_AFTER_S = 2.0, 300.0
"""How long after a trial began or was last saved it is saved at a look, and at any report: less is soon done again."""
REPORT_INTERVAL_S = 1.0
"""Rows that come sooner after the last telling are told with what comes next: each keeps worker and driver busy."""
LONGEST_DEATH_S = 60.0
"""For how long a worker may live on after its study was killed."""


def train_trial(params: dict[str, Any]) -> None:
    """Train one task to its end, going on from its checkpoint where there is one.

    Reports `tags`, then `rows` as they come, with whether its state was `saved`, and lastly `state`; with each the
    most memory, `peak_bytes`, that its process has had. Artifacts lie in the work folder by then. Where the device has
    too little memory, it goes on with half the micro-batch: the same gradient, and the same trial.

    Raises:
        CodeChangedError: this process has imported other code than the launch began with.
        WorkFolderLostError: somebody has removed the work folder.
    """
    task: TrialTask = params["task"]
    _check_code(task)
    config = _fitting(task, from_dict(task.config))
    task.work.mkdir(parents=True, exist_ok=True)
    with FileLock(task.work / "lock", timeout=LONGEST_DEATH_S):  # a worker whose study was killed may be dying still
        try:
            while smaller := _train_or_shrink(task, config):
                config = smaller
        except FileNotFoundError as error:
            if (task.work / ARTIFACTS).is_dir():
                raise
            raise WorkFolderLostError(task.work) from error
        finally:
            if task.grant.device == "cuda":
                _free_memory()  # the worker waits for its next trial, and others may share the GPU


def _check_code(task: TrialTask) -> None:
    here, launch = (_import_all(), TRAINING_VERSION), (task.source, task.training_version)
    if here != launch:
        raise CodeChangedError(*here, *launch)


_micro_batches: dict[tuple[object, ...], int] = {}
"""Found by this worker to fit into the device's memory: trials alike need not run out of it one by one."""


def _fitting(task: TrialTask, config: FineTuneConfig) -> FineTuneConfig:
    """Return the config with the micro-batch that was found for trials alike, where that is smaller."""
    micro = config.micro_batch or config.batch_size
    known = _micro_batches.get(_memory_key(task, config), micro)
    return config if known >= micro else config.with_values({"micro_batch": known})


def _memory_key(task: TrialTask, config: FineTuneConfig) -> tuple[object, ...]:
    return config.model, config.resolution, config.batch_size, task.grant.num_gpus


@cache
def _import_all() -> str:
    """Import what a trial needs, once; returns its digest. Python's collector would take a fifth of the time."""
    gc.disable()
    digest = import_all()
    gc.freeze()
    gc.enable()
    return digest


def _train_or_shrink(task: TrialTask, config: FineTuneConfig) -> FineTuneConfig | None:
    """Train; None when it is over, or the config with half the micro-batch where there is no memory for this one."""
    try:
        _train(task, config)
    except Exception as error:
        micro = config.micro_batch or config.batch_size
        if classify(error) != "device out of memory" or micro == 1:
            raise
        _micro_batches[_memory_key(task, config)] = -(-micro // 2)
    else:
        return None
    _free_memory()  # now that the error, which holds on to all it met, is gone
    return _fitting(task, config)


def _train(task: TrialTask, config: FineTuneConfig) -> None:
    import torch

    from revit.datasets.image_store import ImageStore
    from revit.training.built import built_digest
    from revit.training.fine_tune import TrialData, evenly_spaced_steps, fine_tune
    from revit.training.train_state import Row, TrainState, latest_valid_checkpoint

    checkpoint, artifacts = task.work / CHECKPOINT, task.work / ARTIFACTS
    shutil.rmtree(artifacts, ignore_errors=True)  # of an earlier attempt that failed
    artifacts.mkdir(parents=True)
    device = torch.device(task.grant.device)
    torch.set_num_threads(task.grant.num_cpus if device.type == "cpu" else 1)

    data = TrialData.from_store(config, ImageStore(task.images), task.weights, task.grant.num_cpus)
    resume = latest_valid_checkpoint(checkpoint)
    save_at = evenly_spaced_steps(config.num_steps(len(data.splits.train), data.splits.num_all), config.num_evals)
    told_before = resume is not None  # of a resumed trial the first report repeats what came before
    untold: list[Row] = []
    saved_at = told_at = time.monotonic()

    def stopping() -> bool:
        return task.stop_file.exists()

    def log(update: dict[str, Any]) -> None:
        """Report news, with the rows that wait."""
        nonlocal untold, told_at
        if untold:
            update = {"rows": untold, "repeated": False, "saved": False, **update}
            untold = []
        tune.report({"peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, **update})
        told_at = time.monotonic()

    def report(rows: list[Row], state: TrainState) -> None:
        nonlocal told_before, saved_at
        since_s = time.monotonic() - saved_at
        due = since_s > (CHECKPOINT_INTERVAL_S if state.step in save_at else SAVE_AFTER_S)
        saving = not told_before and (due or stopping())
        if saving:
            retry_transient(lambda: state.save(checkpoint), should_stop=stopping)
            saved_at = time.monotonic()
        untold.extend(rows)
        if saving or told_before or time.monotonic() - told_at > REPORT_INTERVAL_S:
            log({"repeated": told_before, "saved": saving or told_before})
        told_before = False

    def write(path: Path, writer: Callable[[Path, Any], None], content: Any) -> None:
        retry_transient(lambda: writer(path, content), should_stop=stopping)

    def write_built(built: dict[str, Any]) -> None:
        write(artifacts / CONFIG, _write_json, task.config)
        write(artifacts / BUILT, _write_json, built)
        ran_on = describe(device, num_threads=torch.get_num_threads(), compiled=task.grant.compiled)
        log({"tags": {**ran_on, MICRO_BATCH_TAG: str(built["micro_batch"]), BUILT_TAG: built_digest(built)}})

    try:
        result = fine_tune(
            config,
            data,
            report,
            device=device,
            resume=resume,
            compile_model=task.grant.compiled,
            on_built=write_built,
            should_report_now=stopping,
        )
    except DivergedError as error:
        log({"state": TrialState.DIVERGED, "message": str(error)})
        return
    except Exception:
        if untold:
            log({})
        raise
    write(artifacts / PREDICTIONS, _write_predictions, asdict(result.predictions))
    if task.keep_model:
        write(artifacts / MODEL, _write_model, result.model)
    log({"state": TrialState.FINISHED, "metrics": result.metrics})


def _free_memory() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def clear_work(work: Path) -> None:
    """Remove what a settled trial no longer needs."""
    shutil.rmtree(work, ignore_errors=True)


def _write_json(path: Path, record: object) -> None:
    path.write_text(json.dumps(record, indent=1) + "\n")


def _write_predictions(path: Path, columns: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)


def _write_model(path: Path, model: Any) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}, path)
