"""Tasks of trials, for tests of what a worker does."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from revit.config import FineTuneConfig
from revit.datasets.image_store import ImageStore
from revit.identity import TRAINING_VERSION
from revit.models.weights import find_weights, weights_digest
from revit.source import SOURCE
from study.execution.environment import library_versions
from study.execution.resources import ResourceGrant
from study.execution.shared_inputs import SharedInput
from study.execution.trainable import train_trial
from study.execution.trial_task import TrialTask
from study.system.storage import Storage


class WorkerDiedError(Exception):
    pass


GRANT = ResourceGrant(num_cpus=1, num_gpus=0, max_cpus=1, max_concurrent_trials=1)


def task_of(config: FineTuneConfig, images: ImageStore, work: Path, **changes: Any) -> TrialTask:
    weights = find_weights(config.model)
    task = TrialTask(
        identity="i", config=asdict(config), images=SharedInput("images", images.folder, images.manifest.digest),
        weights=None if weights is None else SharedInput("weights", weights, weights_digest(weights)),
        storage=Storage(str(work.parent)), work=work.name, stop_file="stop",
        grant=GRANT, keep_model=False, is_prunable=False, source=SOURCE,
        training_version=TRAINING_VERSION, versions=library_versions(), functions={}, import_folders=(),
    )  # fmt: skip
    return replace(task, **changes)


def train(task: TrialTask) -> None:
    train_trial({"task": task})
