"""Identities of configs whose inputs are made up."""

from typing import Any

from revit.budget import compile_budget
from revit.config import FineTuneConfig
from revit.identity import InputDigests, function_digests, identity


def identity_of(config: FineTuneConfig, num_used: int = 500, num_all: int = 1000, **changed: Any) -> str:
    """Return the identity of a config trained on so many images; `changed` replaces digests."""
    digests = InputDigests(
        **{
            "data": "d",
            "splits": "s",
            "weights": "w",
            "has_val": config.val_fraction > 0,
            "functions": function_digests(config),
            **changed,
        }
    )
    return identity(config, compile_budget(config, num_used, num_all), digests)
