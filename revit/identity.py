"""The identity of a trial: the hash of everything that determines its result.

Hashed are TRAINING_VERSION, the digests of images, splits, weights and of the user's own functions, the compiled
budget, the normalization, and of the other config fields those that are active and do not have their neutral value.
So a new field with a neutral value renames no trial, and an inactive field does not split one trial in two.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from revit.active_fields import effective_values
from revit.budget import Budget
from revit.config import FineTuneConfig
from revit.fields import IdentityRole, fields_by_path
from revit.functions import is_import_path, source_digest
from revit.models.architectures import architecture
from revit.models.normalization import normalization_of

TRAINING_VERSION = 2
"""Raised by hand when the numerics of training change, which the golden traces of the tests detect."""

FUNCTION_FIELDS = ("model.name", "optimizer.name", "augmentation", "loss")
"""Config fields that may name a function of the user."""


@dataclass(frozen=True, kw_only=True)
class InputDigests:
    """Digests of what a trial is trained on.

    Attributes:
        data: digest of the decoded images and their labels (`Manifest.digest`).
        splits: digest of the indices of its training, validation and test images (`Splits.digest`).
        weights: digest of the pretrained weights; None for random initialization.
        has_val: whether there are validation images.
        functions: `function_digests` of the config.
        test_sets: digests of the images of further test sets, by label.
    """

    data: str
    splits: str
    weights: str | None
    has_val: bool
    functions: Mapping[str, str]
    test_sets: Mapping[str, str] = field(default_factory=dict)

    def by_name(self) -> dict[str, str]:
        """Return what may change beside the config, by name, so that a later change can be named."""
        return {
            "data": self.data,
            "splits": self.splits,
            "weights": self.weights or "none",
            "training version": str(TRAINING_VERSION),
            **self.functions,
            **{name_test_set_digest(label): digest for label, digest in self.test_sets.items()},
        }


def identity(config: FineTuneConfig, budget: Budget, digests: InputDigests) -> str:
    """Return the identity of a trial: 16 hexadecimal digits, the same on every machine and in every study.

    Args:
        config: config of the trial, with its seed. Dataset and weights count by content, not by name.
        budget: its compiled budget; budgets with the same steps are the same trial.

    Raises:
        InputError: a field declares no neutral value.
    """
    owner: Any = type(config)
    roles = {path: each.role for path, each in fields_by_path(owner).items()}
    values = effective_values(config, len(budget.eval_steps) if digests.has_val else 0)
    record = {
        "training_version": TRAINING_VERSION,
        "data": digests.data,
        "splits": digests.splits,
        "weights": digests.weights,
        "architecture": architecture(config.model.name),
        "normalization": normalization_of(config),
        "num_steps": budget.num_steps,
        "config": {path: value for path, value in values.items() if roles[path] is not IdentityRole.DERIVED},
        "functions": digests.functions,
        **({"num_warmup": budget.num_warmup} if budget.num_warmup else {}),
        **({"val_steps": budget.eval_steps} if digests.has_val else {}),
        **({"test_steps": budget.eval_steps} if config.test_curve else {}),
        **({} if config.test else {"test": False}),
        **({"test_sets": digests.test_sets} if digests.test_sets else {}),
    }
    text = json.dumps(json.loads(json.dumps(record), parse_int=float), sort_keys=True)  # 1 and 1.0 are one identity
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def name_test_set_digest(label: str) -> str:
    """Return the name of a test set's digest in `InputDigests.by_name`."""
    return f"test set {label}"


def function_names(config: FineTuneConfig) -> dict[str, str]:
    """Return the import paths of the user's functions that a config names, by what they are: `loss my_study:focal`."""
    named = {path: str(attrgetter(path)(config)) for path in FUNCTION_FIELDS}
    return {f"{path.removesuffix('.name')} {name}": name for path, name in named.items() if is_import_path(name)}


def function_digests(config: FineTuneConfig) -> dict[str, str]:
    """Return the digests of the sources of a config's functions, for `InputDigests.functions`.

    Raises:
        InputError: there is no such module.
    """
    return {what: source_digest(name) for what, name in function_names(config).items()}
