"""A study whose launches are written to a real store as launches write them, without training."""

import shutil
import sqlite3
from pathlib import Path

from search_spaces.framework.space import SearchSpace
from study.execution.launch_registration import register_plans
from study.execution.recorder import Recorder
from study.layout import ARTIFACTS, NEEDED_FILES, REGISTRATION, REGISTRATION_FOLDER, WORK
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.states import TrialState
from study.plan import Plan
from study.registration.record import digest_of
from study.trial import Trial
from tests.study.registration.made_study import SPACE, MadeStudy


class WrittenStudy(MadeStudy):
    """A store with launches that begin, and end or are killed, but train nothing."""

    def __init__(self, folder: Path, cache_dir: Path) -> None:
        super().__init__(folder, cache_dir)
        self.ledger = Ledger(folder)  # type: ignore[assignment]  # the store that is open, or what a test changes

    def copy(self, folder: Path) -> "WrittenStudy":
        """Return the same store in an empty folder."""
        shutil.copytree(self.folders.store / ARTIFACTS, folder / ARTIFACTS, dirs_exist_ok=True)
        with (
            sqlite3.connect(self.folders.store / "mlflow.db") as source,
            sqlite3.connect(folder / "mlflow.db") as copy,
        ):
            source.backup(copy)
        return WrittenStudy(folder, self.folders.cache)

    def open_launch(self, space: SearchSpace) -> str:
        return self.ledger.launches.open(space.name, space.tags)

    def begin_together(self) -> None:
        plan = self.plan()
        launches = [self.open_launch(SPACE), self.open_launch(SPACE)]
        register_plans([plan], {SPACE.name: launches[0]}, self.ledger, {}, print)
        newest = self.ledger.registrations.newest_digest
        self.ledger.registrations.newest_digest = lambda tags: ""  # type: ignore[method-assign]  # the store that is open, or what a test changes
        register_plans([plan], {SPACE.name: launches[1]}, self.ledger, {}, print)
        self.ledger.registrations.newest_digest = newest  # type: ignore[method-assign]  # the store that is open, or what a test changes

    def train(
        self, plan: Plan, launch: str, digest: str, finished: list[Trial], begun: list[Trial], num_steps: int
    ) -> None:
        name = plan.space.name
        recorder = Recorder(
            self.ledger,
            launches={name: launch},
            trials={trial.identity: trial for trial in [*finished, *begun]},
            locks=Locks(self.folders.store / "locks"),
            log=print,
            registered={name: digest} if digest else {},
        )
        for trial in begun:
            recorder.start_trial(trial.identity)
            if num_steps:
                recorder.add_rows(trial.identity, [{"step": num_steps, "val_accuracy": 0.4}])
        for trial in finished:
            recorder.start_trial(trial.identity)
            files = self.folders.store / WORK / trial.identity / ARTIFACTS
            files.mkdir(parents=True)
            for each in NEEDED_FILES:
                (files / each).touch()
            recorder.add_rows(trial.identity, [{"step": 5, "test_accuracy": 0.5, "train_time_s": 1.0}])
            recorder.end_trial(trial.identity, TrialState.FINISHED)
        recorder.close(interrupted=True)

    def folder(self, number: int) -> Path:
        """Folder with the record of a launch."""
        launch = self.ledger.registrations.read(SPACE.tags)[number].launch
        return self.folders.store / ARTIFACTS / launch / ARTIFACTS / REGISTRATION_FOLDER

    def edit_record(self, old: str, new: str, *, with_digest: bool = False) -> None:
        path = self.folder(0) / REGISTRATION
        text = path.read_text()
        changed = text.replace(old, new)
        assert changed != text
        path.write_text(changed)
        if with_digest:
            statement = "UPDATE tags SET value = ? WHERE value = ? AND run_uuid = ?"
            self.edit(statement, digest_of(changed), digest_of(text), self.folder(0).parts[-3])

    def edit(self, statement: str, *values: str) -> None:
        """Change the database behind the program's back."""
        with sqlite3.connect(self.folders.store / "mlflow.db") as database:
            assert database.execute(statement, values).rowcount

    def remove_record(self) -> None:
        (self.folder(0) / REGISTRATION).unlink()

    def remove_launch(self) -> None:
        folder = self.folder(0)
        self.ledger.runs.delete(folder.parts[-3])
        self.ledger.runs.purge(folder.parts[-3])
        shutil.rmtree(folder)

    def delete_launch(self) -> None:
        self.ledger.runs.delete(self.folder(0).parts[-3])

    def move(self) -> None:
        self.edit("UPDATE experiments SET artifact_location = 'file:///elsewhere/' || name")
        self.ledger = Ledger(self.folders.store)  # type: ignore[assignment]  # the store that is open, or what a test changes
        self.ledger.artifacts.relocate()
