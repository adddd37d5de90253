"""Result of a launch."""

from dataclasses import dataclass

from study.ledger.states import TrialState


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Result of a launch.

    Attributes:
        states: states of the trials that started, by identity.
        messages: one line for each trial that failed or diverged, by identity.
        interrupted: a signal ended it, such as Ctrl-C.
        stop_reason: reason why it stopped early; empty if it did not.
    """

    states: dict[str, TrialState]
    messages: dict[str, str]
    interrupted: bool
    stop_reason: str
