"""Writes what happens to the ledger, in order, in one thread, so that no trial waits for a database."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from study.ledger import STUDY_TAG, Ledger, Outcome
from study.plan import Trial


class Recorder:
    """The only writer of one launch. Its methods return at once; `close` waits and tells what went wrong.

    Args:
        ledger: where to.
        launch: id of the launch's run.
        study: name of the study, a tag of its trials.
        trials: every trial that may start.
    """

    def __init__(self, ledger: Ledger, *, launch: str, study: str, trials: list[Trial]) -> None:
        self._ledger = ledger
        self._launch = launch
        self._study = study
        self._trials = {trial.identity: trial for trial in trials}
        self._run_ids: dict[str, str] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._written: list[Future[None]] = []
        self.outcomes: dict[str, Outcome] = {}

    def started(self, identity: str) -> None:
        """A trial began, or goes on."""
        self._submit(self._open, identity)

    def rows(self, identity: str, rows: list[dict[str, float]]) -> None:
        """A trial measured something. Steps that the ledger has already, from before a resume, are left out."""
        known = self._trials[identity].known
        last = 0 if known is None else known.last_step
        news = [row for row in rows if row["step"] > last]
        if news:
            self._submit(lambda: self._ledger.log_rows(self._run_ids[identity], news))

    def final(self, identity: str, row: dict[str, float]) -> None:
        """What a finished trial measured at the end, once."""
        self._submit(lambda: self._ledger.log_rows(self._run_ids[identity], [row]))

    def ended(
        self, identity: str, outcome: Outcome, *, message: str = "", artifacts: Path, then: Callable[[], None]
    ) -> None:
        """A trial is over.

        Args:
            artifacts: folder of the files to keep.
            then: called once all is written.
        """
        self.outcomes[identity] = outcome
        self._submit(self._close_trial, identity, outcome, message, artifacts, then)

    def close(self, *, interrupted: bool) -> None:
        """Mark as interrupted whatever began and did not end, end the launch, wait until all is written.

        Raises:
            MlflowException, OSError: the first thing that could not be written.
        """
        self._submit(self._close_all, interrupted)
        self._thread.shutdown(wait=True)
        for future in self._written:
            future.result()

    def _submit(self, write: Callable[..., None], *arguments: Any) -> None:
        self._written.append(self._thread.submit(write, *arguments))

    def _open(self, identity: str) -> None:
        trial = self._trials[identity]
        config = trial.candidate.config
        self._run_ids[identity] = self._ledger.open_trial(
            trial.known,
            launch=self._launch,
            name=trial_name(trial),
            config=config.flat(),
            tags={
                "identity": identity,
                "study": self._study,
                f"{STUDY_TAG}{self._study}": "yes",
                "cell": cell_name(trial),
                "dataset": config.dataset,
                "model": config.model.name,
                "seed": str(config.seed),
            },
        )

    def _close_trial(
        self, identity: str, outcome: Outcome, message: str, artifacts: Path, then: Callable[[], None]
    ) -> None:
        self._ledger.close_trial(self._run_ids.pop(identity), outcome, message=message, artifacts=artifacts)
        then()

    def _close_all(self, interrupted: bool) -> None:
        for identity, run_id in self._run_ids.items():
            self.outcomes[identity] = "interrupted"
            self._ledger.close_trial(run_id, "interrupted", message="stopped before its last step")
        ended = list(self.outcomes.values())
        counts = {f"num_{outcome}": float(ended.count(outcome)) for outcome in sorted(set(ended))}
        all_settled = len(ended) == len(self._trials) and set(ended) <= {"finished", "diverged"}
        outcome: Outcome = "interrupted" if interrupted else "finished" if all_settled else "failed"
        self._ledger.close_launch(self._launch, outcome, counts)


def cell_name(trial: Trial) -> str:
    """The trial's cell in words, `optimizer=sgd schedule.name=cosine`; nuisance values follow."""
    labels = {**trial.candidate.cell, **trial.candidate.nuisance}
    return " ".join(f"{axis}={value}" for axis, value in labels.items())


def trial_name(trial: Trial) -> str:
    """What a trial is called where space is short: `adam constant lr=0.1 seed=0`."""
    labels = {**trial.candidate.cell, **trial.candidate.nuisance, "seed": trial.candidate.config.seed}
    return " ".join(_short(axis, value) for axis, value in labels.items())


def _short(axis: str, value: object) -> str:
    speaks_for_itself = isinstance(value, str) and value != "none"
    return str(value) if speaks_for_itself else f"{axis.split('.')[-1]}={value}"
