"""Checks of a launch before Ray starts."""

import os

from revit.config import ModelConfig
from revit.models.weights import PACKAGED
from study.execution.resources import Node, ResourceRequest, grant_resources
from study.model_check import check_functions, check_optimizers, model_key
from study.trial import Trial


def check_runnable(trials: list[Trial], request: ResourceRequest) -> None:
    """Check what would fail after Ray has started.

    Models that the project does not ship are built and run once on the meta device, and compared with their weights.

    Raises:
        InputError: a model, its weights, its optimizer or the request is unfit.
    """
    unshipped = {model_key(trial.candidate.config): trial for trial in trials if not _is_shipped(trial)}
    for trial in unshipped.values():
        from revit.models.build import check_model

        check_model(trial.candidate.config, trial.weights)
    if request.num_workers > 1:
        _check_splittable(trials)
    check_functions(trial.candidate.config for trial in trials)
    check_optimizers(trial.candidate.config for trial in trials)
    if request.address is None:  # the nodes of a cluster are known once it is joined
        num_gpus = 0
        if request.gpus_per_trial:
            import torch

            num_gpus = torch.cuda.device_count()
        grant_resources(request, [Node(cpus=os.cpu_count() or 1, gpus=num_gpus)])


def _check_splittable(trials: list[Trial]) -> None:
    from revit.models.batch_coupling import check_is_splittable
    from revit.models.build import DRY_RUN_CLASSES, empty_model

    for config in {model_key(trial.candidate.config): trial.candidate.config for trial in trials}.values():
        check_is_splittable(empty_model(config, DRY_RUN_CLASSES), config)


def _is_shipped(trial: Trial) -> bool:
    model = trial.candidate.config.model
    is_packaged = trial.weights is not None and trial.weights.parent == PACKAGED
    return is_packaged and model == ModelConfig(name=model.name)
