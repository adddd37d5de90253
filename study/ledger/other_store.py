"""Another store, which is only read."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from revit.errors import InputError, first_line
from study.layout import ARTIFACTS, DATABASE
from study.ledger.artifacts import Artifacts
from study.ledger.database import tracking_uri
from study.ledger.ledger import configure_mlflow
from study.ledger.records import TrialRecord
from study.ledger.runs import Runs, precedence, trial_record
from study.ledger.schema import EXPERIMENT, IDENTITY_TAG, KIND_TAG, LAUNCH, NUM_STEPS_DONE, REHEARSAL


class OtherStore:
    """Runs of another store, as they were when it was opened.

    Args:
        address: its folder or server.

    Attributes:
        trials: every trial by identity.
        launches: runs of launches, those deleted in MLflow, too, the oldest first.
        rehearsals: runs of rehearsals.
    """

    def __init__(self, address: str, runs: Runs, artifacts: Artifacts) -> None:
        self.address = address
        self.runs = runs
        self.artifacts = artifacts
        best = {name: max(found, key=precedence) for name, found in runs.by_tag(IDENTITY_TAG).items()}
        self.trials = {identity: trial_record(run) for identity, run in best.items()}
        self.launches = runs.search(f"tags.{KIND_TAG} = '{LAUNCH}'", view=ViewType.ALL)[::-1]
        self.rehearsals = runs.search(f"tags.{KIND_TAG} = '{REHEARSAL}'")
        self._runs_of_trials = {run.info.run_id: run for run in best.values()}

    def run_of(self, trial: TrialRecord) -> Run:
        """Return the run of a trial of this store."""
        return self._runs_of_trials[trial.run_id]

    def first_result_ms(self, trial: TrialRecord) -> int:
        """Return when this store had the first value of a trial, in milliseconds since 1970."""
        points = self.runs.points(self.run_of(trial))
        own = [each.timestamp for each in points if each.key == NUM_STEPS_DONE]
        return min(own, default=round(1000 * trial.start_s))


@contextmanager
def open_other_store(root: Path, server: str) -> Iterator[OtherStore]:
    """Open a store that is not to be changed: the folder may be read-only, and launches may write to it.

    Args:
        root: its folder; unused with a server.
        server: address of the tracking server that has it instead; empty for none.

    Raises:
        InputError: there is none, or MLflow cannot read it.
    """
    configure_mlflow(server)
    with tempfile.TemporaryDirectory(prefix="other-store-") as folder:
        try:
            client = MlflowClient(server or tracking_uri(_snapshot(root, Path(folder))))
            if client.get_experiment_by_name(EXPERIMENT) is None:  # `Runs` would create it
                raise InputError(f"{server or root} has no experiment {EXPERIMENT}: no study was run there")
            runs = Runs(client, None)
            other = OtherStore(server or str(root), runs, Artifacts(runs, root / ARTIFACTS, server))
        except (MlflowException, SQLAlchemyError, sqlite3.Error, ValueError) as error:
            raise InputError(f"{server or root} is not a store that MLflow can open: {first_line(error)}") from error
        yield other


def _snapshot(root: Path, folder: Path) -> Path:
    """Copy the database of a store to a folder, and return that."""
    with (
        closing(sqlite3.connect(f"{(root / DATABASE).absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(folder / DATABASE)) as copy,
    ):
        source.backup(copy)
    return folder
