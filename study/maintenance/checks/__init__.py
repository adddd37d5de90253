"""What is looked at to say whether a store, its inputs and this machine are sound."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "fixed", "to fix", "look"]
"""`to fix` can be fixed by the doctor, `look` only by the user."""


@dataclass(frozen=True)
class CheckResult:
    """One line of the doctor's: how something is, and where it is not well, what to do."""

    verdict: Verdict
    text: str

    @property
    def is_well(self) -> bool:
        """Whether the user need do nothing."""
        return self.verdict in ("ok", "fixed")
