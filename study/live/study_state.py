"""State of studies at one moment, for a terminal or as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 1
"""Version of the JSON. A new key leaves it as it is; a key that goes or changes its meaning raises it."""


class Phase(StrEnum):
    """Phase of studies.

    FINISHED    every trial is done
    RUNNING     a launch trains their trials
    FAILED      no launch runs, and trials have failed
    INCOMPLETE  no launch runs, and trials are left
    """

    FINISHED = "finished"
    RUNNING = "running"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """A trial that runs.

    Attributes:
        trial: its value on every axis, and its seed.
        step: optimizer steps that it has reported, of `num_steps`.
        steps_per_s: optimizer steps per second at its last report; None before the first.
        val_accuracy: newest accuracy on validation images, from 0 to 1; None before the first.
    """

    study: str
    trial: str
    step: int
    num_steps: int
    steps_per_s: float | None
    val_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class CellState:
    """A cell of a study's table as far as it is filled.

    Attributes:
        cell: its value on every scientific axis.
        mean: of the study's metric over the seeds that have finished; None where none has.
        low, high: its 95 % interval; None where seeds are too few.
        num_finished: seeds that have finished, of `num_seeds`.
        status: what is missing, as in `1 running, 2 not run`; empty where nothing is.
    """

    study: str
    cell: str
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    num_finished: int
    num_seeds: int
    status: str


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Numbers of studies.

    Attributes:
        num_trials: their trials, those included that a search has still to choose; each counts once.
        num_done: trials that will not be trained again.
        num_running: trials that a worker trains.
        num_failed: trials that failed, which the next launch trains again.
        share_done: share of the work that is done, from 0 to 1, by expected times.
        elapsed_s: seconds since the launch began; None where none runs.
        eta_s: seconds that are left; None where nothing is known about them yet.
    """

    phase: Phase
    num_trials: int
    num_done: int
    num_running: int
    num_failed: int
    share_done: float
    elapsed_s: float | None
    eta_s: float | None


@dataclass(frozen=True, kw_only=True)
class StudyState(Totals):
    """State of the studies of one command.

    Attributes:
        studies: their names.
        counts: number of trials in each state that has any, by the names of `study.ledger.states.TrialState`.
        failures: number of failed trials by the class of their failure; diverged trials as `diverged`.
        newest_failure: message of one of them, empty where there is none.
        next_step: what a user may do next.
        log: file with the output of Ray and its workers, on the machine of the launch; empty where it is unknown.
    """

    studies: tuple[str, ...]
    counts: Mapping[str, int]
    running: tuple[RunningTrial, ...]
    cells: tuple[CellState, ...]
    failures: Mapping[str, int] = field(default_factory=dict)
    newest_failure: str = ""
    next_step: str = ""
    log: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values (docs/status.md)."""
        return {"schema": SCHEMA_VERSION, **asdict(self)}
