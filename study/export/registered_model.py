"""A trained model in MLflow: logged beside its run, registered by a name."""

import json
from typing import TYPE_CHECKING

from study.export.exported_program import PixelNetwork, describe_model
from study.labels import cell_label, trial_label
from study.ledger.ledger import Ledger
from study.ledger.schema import IDENTITY_TAG, SEED_TAG, TEST_ACCURACY

if TYPE_CHECKING:
    from study.trained_model import TrainedModel

CELL_TAG = "cell"
"""Tag of a version with the name of its cell."""


def register_model(model: "TrainedModel", ledger: Ledger, name: str) -> str:
    """Log a trained model, make it a version of a registered model unless it is one already, and say which.

    Raises:
        InputError: torch.export cannot trace the model.
    """
    trial = model.trial
    assert trial.record is not None, "a finished trial has a record"
    tags = {**trial.study, CELL_TAG: cell_label(trial), SEED_TAG: str(model.config.seed), IDENTITY_TAG: trial.identity}
    model_id = ledger.models.log(
        trial.record.run_id,
        trial.identity,
        name=f"{trial.study_name} {trial_label(trial)}",
        network=PixelNetwork(model.network, model.normalization),
        resolution=model.resolution,
        metadata=json.loads(describe_model(model).to_json()),
        tags=tags,
    )
    version = ledger.models.register(name, model_id, tags=tags, description=describe_version(model))
    made = "registered as" if version.is_new else "registered before as"
    return f"{made} version {version.number} of {name}: models:/{name}/{version.number}"


def describe_version(model: "TrainedModel") -> str:
    """Return the description of a version, in Markdown."""
    trial = model.trial
    assert trial.record is not None, "a finished trial has a record"
    facts = json.loads(describe_model(model).to_json())
    accuracy = trial.record.metrics.get(TEST_ACCURACY)
    measured = "" if accuracy is None else f"; test accuracy of this seed {100 * accuracy:.2f} %"
    paragraphs = (
        f"Study `{trial.study_name}`, {trial_label(trial)}.",
        f"`{model.config.model.name}`, trained on `{model.config.dataset}`{measured}.",
        f"Input: {facts['pixels']}.",
        f"Output: logits {facts['logits']}. Classes in their order: {', '.join(model.class_names)}.",
    )
    return "\n\n".join(paragraphs)
