"""Launches: runs that are the parents of their trials' runs, with the locks they hold on a server."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from uuid import uuid4

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from study.ledger.artifacts import Artifacts
from study.ledger.records import RunInfo, now_ms
from study.ledger.runs import Runs, run_info
from study.ledger.schema import (
    ACTUAL_PREFIX,
    DECISION_PREFIX,
    DEVICE_TAG,
    ESTIMATE_PREFIX,
    EVICTED_TAG,
    HEARTBEAT_TAG,
    HELD_LOCK_PREFIX,
    KIND_TAG,
    LAUNCH,
    LOCK_TAG,
    START_S,
    STUDY_TAG,
    WALL_S,
    YES,
)
from study.ledger.states import TrialState

CPU = "cpu"
"""Name of a CPU in DEVICE_TAG."""
NO_TAGS: Mapping[str, str] = {}


class Launches:
    """Launches of a store."""

    def __init__(self, runs: Runs, artifacts: Artifacts) -> None:
        self._runs = runs
        self._artifacts = artifacts

    def open(self, study: str, tags: Mapping[str, str], lock: str = "") -> str:
        """Begin a launch of a study, and return the id of its run.

        Args:
            lock: name of a lock that the launch holds already, so that others do not take its run for a dead one's.
        """
        name = f"{study} {time.strftime('%Y-%m-%d %H:%M:%S')}"
        all_tags = {**tags, KIND_TAG: LAUNCH, STUDY_TAG: study}
        run = self._runs.create_once(LOCK_TAG, lock or uuid4().hex, name, all_tags)
        return str(run.info.run_id)

    def close(self, launch: str, state: TrialState, counts: Mapping[str, float]) -> None:
        """End a launch.

        Args:
            counts: metrics: how many of its trials ended in which state.
        """
        now = now_ms()
        with self._runs.restored(launch):
            metrics = [Metric(name, value, now, 0) for name, value in counts.items()]
            self._runs.client.log_batch(launch, metrics=metrics)
        self._runs.close(launch, state)

    def start_s(self, *, on_gpu: bool) -> float | None:
        """Return the seconds in which no trial ran, the median of finished launches; None where there is none.

        Args:
            on_gpu: of launches on GPUs, else on CPUs.
        """
        finished = self._runs.search(f"attributes.status = 'FINISHED' and tags.{KIND_TAG} = '{LAUNCH}'")
        name = f"{ACTUAL_PREFIX}{START_S}"
        tags = [run.data.tags for run in finished if name in run.data.tags]
        found = [float(each[name]) for each in tags if (each.get(DEVICE_TAG, CPU) != CPU) == on_gpu]
        return median(found) if found else None

    def forecast_values(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return estimate and actual values of the newest launch with these tags that has both; empty for none.

        Args:
            tags: the study, its recipe and scale.
        """
        condition = " and ".join(f"tags.{name} = '{value}'" for name, value in {KIND_TAG: LAUNCH, **tags}.items())
        for run in self._runs.search(condition):
            values = {
                name: value
                for name, value in run.data.tags.items()
                if name.startswith((ESTIMATE_PREFIX, ACTUAL_PREFIX))
            }
            if {f"{ESTIMATE_PREFIX}{WALL_S}", f"{ACTUAL_PREFIX}{WALL_S}"} <= values.keys():
                return values
        return {}

    def decision_rule(self, tags: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return the first launch with these tags that names a decision rule, with the rule; both empty for none.

        Args:
            tags: the study, its recipe and scale.
        """
        condition = " and ".join(f"tags.{name} = '{value}'" for name, value in {KIND_TAG: LAUNCH, **tags}.items())
        oldest_first = reversed(self._runs.search(condition))
        rules = ((run.info.run_id, _with_prefix(run.data.tags, DECISION_PREFIX)) for run in oldest_first)
        return next((found for found in rules if found[1]), ("", {}))

    def tag(self, launch: str, prefix: str, values: Mapping[str, float], tags: Mapping[str, str] = NO_TAGS) -> None:
        """Write estimate or actual values of a launch (`schema.FORECAST_VALUES`), with other tags."""
        self._runs.tag(launch, {**tags, **{f"{prefix}{name}": f"{value:.6g}" for name, value in values.items()}})

    def infos(self) -> dict[str, RunInfo]:
        """Return all launches by the ids of their runs, the newest first."""
        runs = self._runs.search(f"tags.{KIND_TAG} = '{LAUNCH}'")
        return {run.info.run_id: run_info(run) for run in runs}

    def running(self) -> dict[str, RunInfo]:
        """Return the launches that nobody has ended, by the ids of their runs."""
        runs = self._runs.search(f"attributes.status = 'RUNNING' and tags.{KIND_TAG} = '{LAUNCH}'")
        return {run.info.run_id: run_info(run) for run in runs}

    def lock(self, launch: str, name: str) -> None:
        """Write that a launch holds a lock."""
        self._runs.tag(launch, {f"{HELD_LOCK_PREFIX}{name}": YES})

    def unlock(self, launch: str, name: str) -> None:
        """Write that a launch no longer holds a lock."""
        try:
            self._runs.client.delete_tag(launch, f"{HELD_LOCK_PREFIX}{name}")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # as where a proxy sends the request twice
                raise

    def lock_holders(self, name: str) -> list[RunInfo]:
        """Return the running launches that hold a lock."""
        return [each for each in self.running().values() if each.holds(name)]

    def heartbeat(self, launch: str, count: int) -> bool:
        """Write that a launch lives, and return whether no other launch has evicted it."""
        self._runs.tag(launch, {HEARTBEAT_TAG: str(count)})
        return EVICTED_TAG not in self._runs.client.get_run(launch).data.tags

    def evict(self, launch: str) -> None:
        """End a launch whose process seems dead, and free its locks. If the process lives, it stops."""
        self._runs.tag(launch, {EVICTED_TAG: YES})
        self._runs.interrupt(launch)

    def attach(self, tags: Mapping[str, str], paths: Iterable[Path], folder: str) -> None:
        """Keep files with the newest launch that has these tags; do nothing if there is none.

        Args:
            tags: the study, its recipe and scale.
            folder: where to put them among the artifacts of the launch.
        """
        condition = " and ".join(f"tags.{name} = '{value}'" for name, value in {KIND_TAG: LAUNCH, **tags}.items())
        newest_first = ["attributes.start_time DESC"]
        for newest in self._runs.client.search_runs([self._runs.experiment_id], condition, 1, 1, newest_first):
            repository = self._artifacts.repository(newest.info.run_id)
            for path in paths:
                repository.log_artifact(str(path), folder)  # type: ignore[no-untyped-call]  # untyped in MLflow


def _with_prefix(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in tags.items() if name.startswith(prefix)}
