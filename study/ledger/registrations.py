"""Registrations: the record that a launch keeps before its first result, as text with its digest."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.entities import LifecycleStage, Run, ViewType

from study.layout import REGISTRATION, REGISTRATION_FOLDER
from study.ledger.artifacts import Artifacts
from study.ledger.runs import Runs
from study.ledger.schema import KIND_TAG, LAUNCH, REGISTRATION_TAG

NEWEST = ["attributes.start_time DESC"]


@dataclass(frozen=True, kw_only=True)
class StoredRecord:
    """Record of a launch as it is stored.

    Attributes:
        launch: id of its run.
        start_s: when the launch began, in seconds since 1970.
        digest: of the record, as the launch's tag has it; empty for a launch of an earlier version.
        files: texts of its files by name, the record's own and a manifest per claim; empty where they are missing.
        deleted: the run is deleted in MLflow, where it can be restored.
    """

    launch: str
    start_s: float
    digest: str
    files: Mapping[str, str]
    deleted: bool

    @property
    def text(self) -> str:
        """Text of the record; empty if it is missing."""
        return self.files.get(REGISTRATION, "")


class Registrations:
    """Records of a store's launches."""

    def __init__(self, runs: Runs, artifacts: Artifacts) -> None:
        self._runs = runs
        self._artifacts = artifacts

    def write(self, launch: str, digest: str, files: Mapping[str, str]) -> None:
        """Keep a record with its launch: its files, then its digest. It can be repeated."""
        self._artifacts.write_texts(launch, REGISTRATION_FOLDER, files)
        self._runs.tag(launch, {REGISTRATION_TAG: digest})

    def newest_digest(self, tags: Mapping[str, str]) -> str:
        """Return the digest of the newest record of a study; empty for none.

        Args:
            tags: the study, its recipe and scale.
        """
        condition = f"{_condition(tags)} and tags.{REGISTRATION_TAG} != ''"
        ids = [self._runs.experiment_id]
        found = self._runs.client.search_runs(ids, condition, ViewType.ALL, 1, NEWEST)
        return "".join(run.data.tags[REGISTRATION_TAG] for run in found)

    def read(self, tags: Mapping[str, str]) -> list[StoredRecord]:
        """Return what is stored of each launch of a study, the oldest first; also of those deleted in MLflow."""
        return [self._stored(run) for run in reversed(self._runs.search(_condition(tags), view=ViewType.ALL))]

    def text_of(self, launch: str) -> str:
        """Return the text of the record of a launch; empty for none."""
        return self._artifacts.read_texts(launch, REGISTRATION_FOLDER).get(REGISTRATION, "")

    def digests(self) -> frozenset[str]:
        """Return the digests of all records of the store, by the tags of its launches."""
        condition = f"tags.{KIND_TAG} = '{LAUNCH}' and tags.{REGISTRATION_TAG} != ''"
        return frozenset(run.data.tags[REGISTRATION_TAG] for run in self._runs.search(condition, view=ViewType.ALL))

    def first_result_s(self, run_id: str, metric: str) -> float | None:
        """Return when the first value of a metric of a trial was measured, in seconds since 1970; None without any."""
        times = [point.timestamp for point in self._runs.curve(run_id, metric)]
        return min(times) / 1000 if times else None

    def _stored(self, run: Run) -> StoredRecord:
        return StoredRecord(
            launch=run.info.run_id,
            start_s=run.info.start_time / 1000,
            digest=run.data.tags.get(REGISTRATION_TAG, ""),
            files=self._artifacts.read_texts(run.info.run_id, REGISTRATION_FOLDER),
            deleted=run.info.lifecycle_stage == LifecycleStage.DELETED,
        )


def _condition(tags: Mapping[str, str]) -> str:
    return " and ".join(f"tags.{name} = '{value}'" for name, value in {KIND_TAG: LAUNCH, **tags}.items())
