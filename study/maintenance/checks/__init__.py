"""The checks of `doctor`, one module for each thing that can be unhealthy."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "error", "fixable", "fixed"]
"""`fixable` is repaired by `doctor --fix`, `warn` and `error` only by the user."""


@dataclass(frozen=True)
class CheckResult:
    """One line of `doctor`: a state, and what to do if it is unhealthy."""

    level: Level
    text: str

    @property
    def is_healthy(self) -> bool:
        """True if there is nothing left to do."""
        return self.level in ("ok", "fixed")


def fixable(text: str, *, fixed: bool) -> CheckResult:
    """Return a problem that `doctor --fix` repairs, or has repaired."""
    return CheckResult("fixed" if fixed else "fixable", text)
