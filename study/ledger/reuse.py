"""Records of tested trials that serve a search: its trials would have the same validation values."""

from collections.abc import Mapping, Sequence

from revit.budget import Budget
from revit.config import FineTuneConfig
from revit.identity import InputDigests, identity
from study.ledger.records import TrialRecord
from study.ledger.states import TrialState

TESTED: tuple[dict[str, object], ...] = ({"test": True}, {"test": True, "test_curve": True})
"""Values with which a search trial is an ordinary one. Both leave weights and validation values as they are."""


def identities_with_test(config: FineTuneConfig, budget: Budget, digests: InputDigests) -> tuple[str, ...]:
    """Return the identities of the tested trials that are the same but for the test split; none for a tested one."""
    return () if config.test else tuple(identity(config.with_values(each), budget, digests) for each in TESTED)


def find_record(own: str, tested: Sequence[str], records: Mapping[str, TrialRecord]) -> TrialRecord | None:
    """Return the record that has the values of a trial, None if it is to be trained from its start.

    It is its own, unless that has not ended and another study has finished the same trial and tested it. So a search
    that is resumed sees the history that it saw before.

    Args:
        own: identity of the trial.
        tested: its `identities_with_test`.
        records: records of the ledger by identity.
    """
    record = records.get(own)
    if record is not None and record.state.is_terminal:
        return record
    served = (records[name] for name in tested if name in records)
    return next((each for each in served if each.state == TrialState.FINISHED), record)
