"""Disk space that a study will need."""

from collections.abc import Iterable
from functools import cache

from revit.config import FineTuneConfig, ModelConfig
from revit.models.architectures import MODELS
from revit.training.trial_flops import NUM_CLASSES, counted_model, flops_config
from search_spaces.framework.kept_seeds import KeepModels
from study.ledger.states import TrialState
from study.plan import Plan
from study.trial import Trial

FLOAT32_BYTES = 4
"""Weights and moments are stored in float32."""
NUM_MOMENTS = {"sgd": 1, "adam": 2, "adamw": 2}
"""Values that an optimizer stores per parameter."""
MAX_MOMENTS = 4
"""Most values per parameter that any other optimizer of timm stores: Adan."""
MAX_CHECKPOINTS = 3
"""Peak checkpoint files per trial: two kept, one being written."""


def model_bytes(config: FineTuneConfig) -> int:
    """Return the size of a trial's model file; 0 for a function of the user that cannot be built."""
    spec = MODELS.get(config.model.name)
    if spec is not None:
        return spec.num_params * FLOAT32_BYTES
    return _num_values(counted_model(config.model), config.resolution) * FLOAT32_BYTES


@cache
def _num_values(model: ModelConfig, resolution: int) -> int:
    """Return how many numbers the state of a model has, built on the meta device: it takes no memory."""
    from revit.models.build import empty_model

    try:
        network = empty_model(flops_config(model, resolution), NUM_CLASSES)
    except Exception:  # whatever a function of the user can raise
        return 0
    return sum(value.numel() for value in network.state_dict().values())


def kept_trials(tested: Iterable[Trial], choice: KeepModels) -> list[Trial]:
    """Return as many trials as a study keeps models of, once all have ended: one of each cell for its best seed."""
    trials = [trial for trial in tested if trial.candidate.config.test and trial.keep_model]
    if choice != "best":
        return trials
    return list({str(trial.candidate.requested_values): trial for trial in trials}.values())


def checkpoint_bytes(config: FineTuneConfig) -> int:
    """Return the size of a checkpoint: weights, moments, averaged weights, best weights, where there are such."""
    num_copies = 1 + (config.ema_decay > 0) + (config.selection == "best_val")
    return model_bytes(config) * (num_copies + NUM_MOMENTS.get(config.optimizer.name, MAX_MOMENTS))


def further_models(to_train: Iterable[Trial], choice: KeepModels, plan: Plan | None) -> list[Trial]:
    """Return as many of the trials to be trained as a study keeps models of, beside those of its finished trials.

    Args:
        plan: of the study; None where its states are unknown.
    """
    kept = kept_trials(to_train, choice)
    if choice != "best" or plan is None:
        return kept
    cells = [each.candidate.requested_values for each in plan.trials if each.state == TrialState.FINISHED]
    return [trial for trial in kept if trial.candidate.requested_values not in cells]  # one takes another's place


def peak_disk_bytes(trials: Iterable[Trial], kept: Iterable[Trial], num_running: int) -> int:
    """Return the most disk space that a launch takes: of the models that it keeps, and of the trials that run.

    Each of these has its checkpoints, then its model, before it is known whether that is kept.

    Args:
        trials: to be trained.
        kept: those of them whose models are kept.
    """
    models = {trial.identity: model_bytes(trial.candidate.config) for trial in kept}
    configs = [trial.candidate.config for trial in trials]
    running = max((MAX_CHECKPOINTS * checkpoint_bytes(each) + model_bytes(each) for each in configs), default=0)
    return sum(models.values()) + num_running * running
