"""The model that a trial tested, built again from its artifacts."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from revit.config import FineTuneConfig
from revit.errors import InputError
from revit.models.normalization import Normalization, normalization_of
from study.layout import BUILT, MODEL
from study.ledger.ledger import Ledger
from study.trial import Trial

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """Model of a finished trial, with what its images need.

    Attributes:
        network: with the weights that were tested: of the selected checkpoint, averaged where `ema_decay` says so,
            adapters merged. On the CPU, in evaluation mode, without gradients; from normalized images (B, 3, R, R)
            float32 to logits (B, K).
        class_names: name of each of the K classes.
        normalization: mean and standard deviation of the pixels, 0 to 1.
        trial: the trial, with its record.
    """

    network: "nn.Module"
    class_names: tuple[str, ...]
    normalization: Normalization
    trial: Trial

    @property
    def config(self) -> FineTuneConfig:
        """Config that it was trained with."""
        return self.trial.candidate.config

    @property
    def resolution(self) -> int:
        """Side R of its square images, in pixels."""
        return self.config.resolution


def load_trained_model(trial: Trial, ledger: Ledger) -> TrainedModel:
    """Build the model of a finished trial whose weights were kept, and load them. Draws no random numbers of others.

    Raises:
        InputError: the weights are damaged, or the code of the model has changed since.
        OSError: the weights were not kept.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from revit.models.build import build_tested_model

    assert trial.record is not None, "a finished trial has a record"
    config, class_names = trial.candidate.config, read_class_names(trial, ledger)
    file = ledger.artifacts.path(trial.record.run_id, MODEL)
    network = build_tested_model(config, len(class_names))
    try:
        network.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError) as error:
        reason = f"{MODEL} is damaged, or of another version of {config.model.name}"
        raise InputError(f"trial {trial.identity}: {reason} ({str(error).splitlines()[0]})") from error
    return TrainedModel(
        network=network.eval().requires_grad_(False),
        class_names=class_names,
        normalization=normalization_of(config),
        trial=trial,
    )


def read_class_names(trial: Trial, ledger: Ledger) -> tuple[str, ...]:
    """Return the classes that a finished trial recorded: its images may not be on this machine."""
    assert trial.record is not None, "a finished trial has a record"
    built = json.loads(ledger.artifacts.path(trial.record.run_id, BUILT).read_text())
    return tuple(built["data"]["class_names"])
