"""When two trials are the same trial: the hash of all that determines a result."""

import hashlib
import json
from dataclasses import asdict

from revit.config import FineTuneConfig
from revit.models.normalization import normalization_of

TRAINING_VERSION = 2
"""Bumped by hand when the numbers that training gives change; the golden trace in tests tells."""

NON_IDENTITY_FIELDS = ("dataset", "micro_batch", "steps", "epochs", "epoch_images")
"""Fields that leave the result as it is, or decide it only through the digests and the number of steps."""


def input_digests(data_digest: str, weights_digest: str | None) -> dict[str, str]:
    """What decides a trial's result beside its config, by name: kept with it, to tell later what has changed."""
    return {
        "data": data_digest,
        "weights": "none" if weights_digest is None else weights_digest,
        "training version": str(TRAINING_VERSION),
    }


def identity(config: FineTuneConfig, *, num_steps: int, data_digest: str, weights_digest: str | None) -> str:
    """16 hexadecimal digits that name the trial, wherever and in whichever study it runs.

    Args:
        config: the trial's config, its seed included. Dataset and weights count by their content, not by name.
        num_steps: optimizer steps that its budget compiles to: two budgets that come to the same are one trial.
        data_digest: digest of the decoded images, labels and splits (`ImageStore.digest`).
        weights_digest: digest of the pretrained weights, None when it starts from scratch.
    """
    determines = asdict(config)
    for name in NON_IDENTITY_FIELDS:
        del determines[name]
    del determines["model"]["weights"]
    determines["normalization"] = normalization_of(config)
    record = {
        "training_version": TRAINING_VERSION,
        "data": data_digest,
        "weights": weights_digest,
        "num_steps": num_steps,
        "config": _numbers_as_floats(determines),
    }
    text = json.dumps(record, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _numbers_as_floats(value: object) -> object:
    """So that a learning rate of 1 and of 1.0 are one trial. A bool stays a bool."""
    if isinstance(value, dict):
        return {name: _numbers_as_floats(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers_as_floats(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
