"""Rehearsals of a store: runs of their own kind, which no table, plan or search takes for a trial."""

from collections.abc import Mapping

from mlflow.entities import Metric, Param, Run

from study.ledger.records import Rehearsal, now_ms
from study.ledger.runs import Runs, run_tags, storable
from study.ledger.schema import (
    ENVIRONMENT_TAGS,
    EVAL_IMAGES_PER_S,
    KIND_TAG,
    PEAK_MEMORY,
    REHEARSAL,
    STATE_TAG,
    STEP_TIME_S,
)
from study.ledger.states import TrialState


class Rehearsals:
    """Rehearsals of a store."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def add(self, rehearsal: Rehearsal, *, name: str, tags: Mapping[str, str]) -> str:
        """Write a rehearsal, and return the id of its run.

        Args:
            name: of its run.
            tags: those of its study.
        """
        values = {
            STEP_TIME_S: rehearsal.step_time_s,
            EVAL_IMAGES_PER_S: rehearsal.eval_images_per_s,
            PEAK_MEMORY: rehearsal.peak_memory_bytes,
        }
        metrics = [Metric(key, value, now_ms(), 0) for key, value in values.items() if value is not None]
        params = [Param(key, value) for key, value in rehearsal.params.items()]
        all_tags = {**tags, **rehearsal.environment, KIND_TAG: REHEARSAL, STATE_TAG: TrialState.FINISHED}
        run = self._runs.client.create_run(self._runs.experiment_id, run_name=storable(name))
        run_id = str(run.info.run_id)
        self._runs.client.log_batch(run_id, metrics, params, run_tags(all_tags))
        self._runs.close(run_id, TrialState.FINISHED)
        return run_id

    def read(self) -> list[Rehearsal]:
        """Return all rehearsals, the newest first."""
        return [_rehearsal(run) for run in self._runs.search(f"tags.{KIND_TAG} = '{REHEARSAL}'")]


def _rehearsal(run: Run) -> Rehearsal:
    return Rehearsal(
        params=run.data.params,
        environment={name: run.data.tags[name] for name in ENVIRONMENT_TAGS if name in run.data.tags},
        step_time_s=run.data.metrics[STEP_TIME_S],
        eval_images_per_s=run.data.metrics[EVAL_IMAGES_PER_S],
        peak_memory_bytes=run.data.metrics.get(PEAK_MEMORY),
    )
