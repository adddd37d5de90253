"""Version of the code that trains a study's trials, then judges its claims."""

from collections.abc import Mapping
from pathlib import Path

import search_spaces.framework
import study.analysis
from revit.source import SOURCE, source_digest
from study.ledger.schema import COMMIT_TAG, GIT_DIRTY_TAG

TRAINING, TESTS, CLAIM_LANGUAGE = "training", "tests", "claim language"
"""Keys of the digests of `revit`, `study.analysis`, `search_spaces.framework`."""
JUDGING = (TESTS, CLAIM_LANGUAGE)
"""Digests of the code that judges: a report may run other code than the launch that registered it."""


def code_version(tags: Mapping[str, str]) -> dict[str, str]:
    """Return commit and digests of the code, by name.

    Args:
        tags: of a launch; without a commit where the code is in no git repository.
    """
    folders = {TESTS: study.analysis, CLAIM_LANGUAGE: search_spaces.framework}
    digests = {name: source_digest(Path(str(each.__file__)).parent) for name, each in folders.items()}
    return {
        "commit": tags.get(COMMIT_TAG, ""),
        "uncommitted changes": tags.get(GIT_DIRTY_TAG, ""),
        TRAINING: SOURCE,
        **digests,
    }
