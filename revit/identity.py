"""The identity of a trial: the hash of everything that determines its result."""

import hashlib
import json
from dataclasses import asdict

from revit.config import FineTuneConfig
from revit.models.normalization import normalization_of

TRAINING_VERSION = 2
"""Raised by hand when the numerics of training change, which the golden trace of the tests detects."""

NON_IDENTITY_FIELDS = ("dataset", "micro_batch", "steps", "epochs", "epoch_images")
"""Fields excluded from the hash: no effect on the result, or covered by a digest or num_steps."""


def input_digests(data_digest: str, weights_digest: str | None) -> dict[str, str]:
    """Return the inputs of a trial beside its config, by name, so that a later change of one can be named."""
    return {
        "data": data_digest,
        "weights": "none" if weights_digest is None else weights_digest,
        "training version": str(TRAINING_VERSION),
    }


def identity(config: FineTuneConfig, *, num_steps: int, data_digest: str, weights_digest: str | None) -> str:
    """Return the identity of a trial: 16 hexadecimal digits, the same on every machine and in every study.

    Args:
        config: config of the trial, with its seed. Dataset and weights count by content, not by name.
        num_steps: optimizer steps of the budget; budgets with the same steps are the same trial.
        data_digest: digest of the decoded images, labels and splits (`ImageStore.digest`).
        weights_digest: digest of the pretrained weights; None for random initialization.
    """
    hashed = asdict(config)
    for name in NON_IDENTITY_FIELDS:
        del hashed[name]
    del hashed["model"]["weights"]
    hashed["normalization"] = normalization_of(config)
    record = {
        "training_version": TRAINING_VERSION,
        "data": data_digest,
        "weights": weights_digest,
        "num_steps": num_steps,
        "config": json.loads(json.dumps(hashed), parse_int=float),  # 1 and 1.0 give one identity
    }
    text = json.dumps(record, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
