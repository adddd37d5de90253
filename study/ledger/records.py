"""What the ledger keeps of trials and launches, as plain values. Knows nothing of MLflow."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from study.ledger.states import TrialState

STEPS_DONE = "num_steps_done"
"""Metric that every written row carries: how far the run has got."""

STUDY_TAG, CELL_TAG = "study.", "cell."
"""Prefixes of the tags by which a trial is found from each study that asks for it, and that say its cell there."""

LOCK_TAG = "lock"
"""Tag of a launch: name of the lock that it holds, from before its run is created until it has ended."""

DIGEST_PREFIX = "digest."
"""Prefix of the tags that hold the digests of a trial's data and weights, and the training version."""

PARENT_TAG = "mlflow.parentRunId"
"""MLflow's tag of a run that is nested in another, as a trial's in its launch's."""

ENVIRONMENT_TAGS = ("device", "precision", "compiled", "threads", "torch", "timm")
"""Tags of a trial that say what it ran on."""


class Measurement(NamedTuple):
    """Metrics by their names, `step` among them, and when they were measured, in milliseconds since 1970."""

    row: Mapping[str, float]
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class TrialUpdate:
    """What is known of a trial, and may not be written yet.

    Attributes:
        config: the flat config, which is kept as the run's params; empty where it is written.
        rows: what was measured, in the order of steps.
        tags: what else to mark it with.
    """

    config: Mapping[str, object] = field(default_factory=dict)
    rows: list[Measurement] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What the ledger has of a trial.

    Attributes:
        state: RUNNING, too, where the process that ran it died.
        last_step: the last optimizer step whose metrics are written, 0 for none.
        metrics: last value of each metric.
        params: its flat config, each value as text.
        tags: what else it is marked with.
    """

    run_id: str
    identity: str
    state: TrialState
    last_step: int
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def launch(self) -> str:
        """Id of the run of the launch that trained it last."""
        return self.tags[PARENT_TAG]

    @property
    def studies(self) -> frozenset[str]:
        """Names of the studies that it is found from."""
        return _studies(self.tags)

    @property
    def environment(self) -> dict[str, str]:
        """What it ran on, as far as it came to say so."""
        return {name: self.tags[name] for name in ENVIRONMENT_TAGS if name in self.tags}

    @property
    def failure(self) -> str:
        """Class of its failure (failures.py), empty where it did not fail."""
        return self.tags.get("failure", "")

    @property
    def built(self) -> str:
        """Digest of what was built for it, empty where it did not come to that."""
        return self.tags.get("built", "")


class RunningLaunch(NamedTuple):
    """A launch that nobody has ended.

    Attributes:
        lock: name of the lock that it holds on its own machine.
        beat: its last heartbeat, empty before the first.
        claims: names of the leases that it has on a server.
    """

    run_id: str
    lock: str
    beat: str
    claims: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A run of the database, of a launch or a trial, whatever became of it.

    Attributes:
        deleted: as by the UI's Delete: it can be restored there.
        is_ours: it is of the experiment that holds the studies.
        artifacts: folder of its files, on this machine's disk.
        began_ms: when, in milliseconds since 1970.
    """

    run_id: str
    name: str
    status: str
    deleted: bool
    is_ours: bool
    artifacts: Path
    began_ms: int
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def identity(self) -> str:
        """Of a trial; empty for a launch."""
        return self.tags.get("identity", "")

    @property
    def studies(self) -> frozenset[str]:
        """Names of the studies that it is of: those that a trial is found from, or that a launch ran."""
        return _studies(self.tags) or frozenset({self.tags.get("study", "")})

    @property
    def owner(self) -> str:
        """Name of the lease under which it is written."""
        return owner_of(self.run_id, self.tags)

    @property
    def is_finished(self) -> bool:
        """Whether it is of a trial that finished, or of a launch that did."""
        return self.tags.get("state") == TrialState.FINISHED


def study_tags(study: str, cell: str) -> dict[str, str]:
    """Return the tags by which a trial is found from a study, and grouped there.

    There is one for each study and none for all: studies share trials, and call their cells differently.
    """
    return {f"{STUDY_TAG}{study}": "yes", f"{CELL_TAG}{study}": cell}


def owner_of(run_id: str, tags: Mapping[str, str]) -> str:
    """Return the name of the lock under which a run is written: its trial's identity, or its launch's own."""
    return tags.get("identity") or tags.get(LOCK_TAG) or run_id


def _studies(tags: Mapping[str, str]) -> frozenset[str]:
    return frozenset(tag.removeprefix(STUDY_TAG) for tag in tags if tag.startswith(STUDY_TAG))


def now_ms() -> int:
    """The time as MLflow keeps it: milliseconds since 1970."""
    return time.time_ns() // 1_000_000
