"""Plain values of the ledger, without MLflow."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import NamedTuple

from revit.config import FineTuneConfig
from search_spaces.framework.claim_cells import Value
from study.ledger.schema import (
    BUILT_TAG,
    CELL_PREFIX,
    DATASET_TAG,
    ENVIRONMENT_TAGS,
    FAILURE_TAG,
    HELD_LOCK_PREFIX,
    IDENTITY_TAG,
    KEEP_PREFIX,
    KIND_TAG,
    LAUNCH,
    LOCK_TAG,
    MODEL_TAG,
    NO,
    PARENT_TAG,
    PHASE_TAG,
    POINT_PREFIX,
    RECIPE_TAG,
    SCALE_TAG,
    SEARCH_PHASE,
    SEED_TAG,
    STATE_TAG,
    STUDY_PREFIX,
    STUDY_TAG,
    TEST_PHASE,
    WORKERS_TAG,
    YES,
)
from study.ledger.states import TrialState


class Measurement(NamedTuple):
    """Metrics by their names, `step` among them, and when they were measured, in milliseconds since 1970."""

    row: Mapping[str, float]
    at_ms: int


@dataclass(frozen=True, kw_only=True)
class TrialUpdate:
    """Measurements, params, tags of a trial that are still to be written.

    Attributes:
        config: the flat config, which becomes the run's params; empty once it is written.
        rows: what was measured, in the order of steps.
    """

    config: Mapping[str, object] = field(default_factory=dict)
    rows: list[Measurement] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """Record of a trial in the ledger.

    Attributes:
        state: RUNNING, too, where the process that ran it died.
        last_step: the last optimizer step whose metrics are written, 0 for none.
        metrics: last value of each metric.
        params: its flat config, each value as text.
        start_s, end_s: when it first began and when it ended, in seconds since 1970; 0 where it is not known.
    """

    run_id: str
    identity: str
    state: TrialState
    last_step: int
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    start_s: float = 0.0
    end_s: float = 0.0

    @property
    def duration_s(self) -> float | None:
        """Seconds from its first start to its end; None where they are not known."""
        return self.end_s - self.start_s if self.start_s and self.end_s else None

    @property
    def launch(self) -> str:
        """Id of the run of the launch that trained it last; empty for a run that none has trained."""
        return self.tags.get(PARENT_TAG, "")

    @property
    def studies(self) -> frozenset[str]:
        """Names of the studies that ask for it."""
        return _studies(self.tags)

    @property
    def environment(self) -> dict[str, str]:
        """Environment tags, as far as it wrote them."""
        found = {name: self.tags[name] for name in ENVIRONMENT_TAGS if name in self.tags}
        return {WORKERS_TAG: "1", **found} if found else {}

    @property
    def failure(self) -> str:
        """Class of its failure (failures.py), empty where it did not fail."""
        return self.tags.get(FAILURE_TAG, "")

    @property
    def built(self) -> str:
        """Digest of what was built for it, empty where it was never built."""
        return self.tags.get(BUILT_TAG, "")


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Measurements of a few steps of a shape, which count as no trial.

    Attributes:
        params: the flat config of a trial of the shape, each value as text.
        environment: ENVIRONMENT_TAGS: what it ran on.
        step_time_s: seconds of an optimizer step, with its whole batch, once the first has warmed up.
        eval_images_per_s: images of an evaluation per second.
        peak_memory_bytes: as of a trial; None where it cannot be measured.
    """

    params: Mapping[str, str]
    environment: Mapping[str, str]
    step_time_s: float
    eval_images_per_s: float
    peak_memory_bytes: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """Any run: of a launch or trial, perhaps deleted.

    Attributes:
        deleted: it can be restored in the UI.
        start_ms: when it began, in milliseconds since 1970.
    """

    run_id: str
    status: str
    deleted: bool
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    start_ms: int = 0

    @property
    def identity(self) -> str:
        """Identity of a trial; empty for a launch."""
        return self.tags.get(IDENTITY_TAG, "")

    @property
    def studies(self) -> frozenset[str]:
        """Names of the studies that ask for a trial, or of the one that a launch ran."""
        return _studies(self.tags) or frozenset({self.tags.get(STUDY_TAG, "")})

    @property
    def is_launch(self) -> bool:
        """True for a launch."""
        return self.tags.get(KIND_TAG) == LAUNCH

    @property
    def owner(self) -> str:
        """Name of the lock under which it is written: its trial's identity, or its launch's own."""
        return self.identity or self.tags.get(LOCK_TAG) or self.run_id

    def holds(self, lock: str) -> bool:
        """Return whether a launch holds a lock on its server, or on its own machine."""
        return lock == self.owner or f"{HELD_LOCK_PREFIX}{lock}" in self.tags

    @property
    def is_finished(self) -> bool:
        """True for a trial or launch that finished."""
        return self.tags.get(STATE_TAG) == TrialState.FINISHED


def study_tags(study: str, *, cell: Mapping[str, object], point: Mapping[str, object]) -> dict[str, str]:
    """Return the tags by which a trial is found from a study, and grouped there.

    There is one set for each study: studies share trials, and name their cells by their own axes.

    Args:
        cell: its value on each scientific axis of the study.
        point: its value on each axis of the study.
    """
    return {
        f"{STUDY_PREFIX}{study}": YES,
        f"{CELL_PREFIX}{study}": _assignments(cell),
        f"{POINT_PREFIX}{study}": _assignments(point),
    }


def keep_tags(keeps: Mapping[str, bool]) -> dict[str, str]:
    """Return the tags of a trial that say which studies keep its model.

    Args:
        keeps: whether a study keeps it, by the study's name.
    """
    return {f"{KEEP_PREFIX}{study}": YES if is_kept else NO for study, is_kept in keeps.items()}


def keeping_studies(tags: Mapping[str, str]) -> list[str]:
    """Return the names of the studies that say that they keep the model of a trial."""
    return [name.removeprefix(KEEP_PREFIX) for name in tags if name.startswith(KEEP_PREFIX) and tags[name] == YES]


def is_model_kept(tags: Mapping[str, str]) -> bool:
    """Return whether a study keeps the model of a trial with these tags. One that has not said so does, too."""
    studies = _studies(tags)
    return not studies or any(tags.get(f"{KEEP_PREFIX}{study}") != NO for study in studies)


def config_tags(config: FineTuneConfig) -> dict[str, str]:
    """Return the tags of a trial that follow from its config: what people filter by most, and its phase."""
    return {
        SEED_TAG: str(config.seed),
        DATASET_TAG: config.dataset,
        MODEL_TAG: config.model.name,
        PHASE_TAG: TEST_PHASE if config.test else SEARCH_PHASE,
    }


@dataclass(frozen=True, kw_only=True)
class SearchTag:
    """Place of a trial in a search: the value of its tag, as JSON.

    Attributes:
        cell: value by scientific axis, as the study names it.
        number: number of its point in the cell.
        point: value by nuisance axis, as the study names it.
        is_given_up: the point's later seeds are left out.
    """

    cell: Mapping[str, Value]
    number: int
    point: Mapping[str, Value]
    is_given_up: bool = False

    def to_json(self) -> str:
        """Return the value of the tag."""
        return json.dumps(asdict(self))

    @staticmethod
    def prefix(cell: Mapping[str, Value], number: int) -> str:
        """Return how the JSON of all tags of a point begins."""
        return f"{json.dumps({'cell': cell, 'number': number})[:-1]}, "

    @staticmethod
    def lock(name: str, cell: Mapping[str, Value]) -> str:
        """Return the name of the lock under which points of a cell get their numbers, in the tag of this name."""
        place = f"{name} {json.dumps(cell)}"
        return f"search-{hashlib.sha256(place.encode()).hexdigest()[:16]}"

    @classmethod
    @lru_cache(maxsize=10_000)  # it is asked about every trial of a search for each new one
    def from_json(cls, text: str) -> "SearchTag | None":
        """Return the place that a tag names; None where somebody has changed the tag."""
        try:
            tag = cls(**json.loads(text))
        except (TypeError, ValueError):
            return None
        is_right = isinstance(tag.number, int) and isinstance(tag.cell, dict) and isinstance(tag.point, dict)
        return tag if is_right else None


def _assignments(values: Mapping[str, object]) -> str:
    return " ".join(f"{axis}={value}" for axis, value in values.items())


def request_key(tags: Mapping[str, str], study: str) -> tuple[str | None, ...]:
    """Return what a study asked for when it got a trial with these tags: a point and a seed, by recipe, scale, phase.

    Trials of one key differ in what has changed since: config fields that are not axes, data, weights, training code.
    """
    requested = (tags.get(name) for name in (RECIPE_TAG, SCALE_TAG, f"{POINT_PREFIX}{study}", SEED_TAG))
    return *requested, tags.get(PHASE_TAG, TEST_PHASE)


def _studies(tags: Mapping[str, str]) -> frozenset[str]:
    return frozenset(tag.removeprefix(STUDY_PREFIX) for tag in tags if tag.startswith(STUDY_PREFIX))


def now_ms() -> int:
    """Return the time as MLflow stores it: milliseconds since 1970."""
    return time.time_ns() // 1_000_000
