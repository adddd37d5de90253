"""Writes what happens to the ledger, in order, in one thread, so that no trial waits for a database."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from study.ledger import STUDY_TAG, Ledger, Outcome, is_settled
from study.plan import Trial


class Recorder:
    """The only writer of one launch. Its methods return at once; `close` waits until all is written.

    A trial of which something could not be written is failed, not finished: its results are not whole.

    Args:
        ledger: where to.
        launch: id of the launch's run.
        study: tags of the study: its name as `study`, its recipe and scale.
        trials: every trial that may start.

    Attributes:
        outcomes: how each trial that started has ended, by identity; complete after `close`.
        messages: why, one line, for each that did not finish and was not interrupted.
    """

    def __init__(self, ledger: Ledger, *, launch: str, study: Mapping[str, str], trials: list[Trial]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.messages: dict[str, str] = {}
        self._ledger = ledger
        self._launch = launch
        self._study = study
        self._trials = {trial.identity: trial for trial in trials}
        self._run_ids: dict[str, str] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    def started(self, identity: str) -> None:
        """A trial began, or goes on."""
        self._submit(identity, lambda: self._open(identity))

    def rows(self, identity: str, rows: list[dict[str, float]]) -> None:
        """A trial measured something. Steps that the ledger has already, from before a resume, are left out."""
        known = self._trials[identity].known
        last = 0 if known is None else known.last_step
        news = [row for row in rows if row["step"] > last]
        if news:
            self._submit(identity, lambda: self._ledger.log_rows(self._run_ids[identity], news))

    def final(self, identity: str, row: dict[str, float]) -> None:
        """What a finished trial measured at the end, once."""
        self._submit(identity, lambda: self._ledger.log_rows(self._run_ids[identity], [row]))

    def tags(self, identity: str, tags: dict[str, str]) -> None:
        """What is known of a trial's surroundings: its device, precision, versions."""
        self._submit(identity, lambda: self._ledger.tag(self._run_ids[identity], tags))

    def ended(
        self, identity: str, outcome: Outcome, *, message: str, artifacts: Path, then: Callable[[Outcome], None]
    ) -> None:
        """A trial is over.

        Args:
            artifacts: folder of the files to keep.
            then: called with the outcome once all is written.
        """
        self._submit(identity, lambda: self._close_trial(identity, outcome, message, artifacts, then))

    def close(self, *, interrupted: bool) -> None:
        """Mark as interrupted whatever began and did not end, end the launch, wait until all is written.

        Raises:
            MlflowException, OSError: the launch itself could not be ended.
        """
        ending = self._thread.submit(self._close_all, interrupted)
        self._thread.shutdown(wait=True)
        ending.result()

    def _submit(self, identity: str, write: Callable[[], None]) -> None:
        def write_or_note() -> None:
            try:
                write()
            except Exception as error:  # whatever a store can raise: the trial is then not whole
                self.messages.setdefault(identity, f"not written: {type(error).__name__}: {error}")
                self.outcomes[identity] = "failed"

        self._thread.submit(write_or_note)

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
                **self._study,
                f"{STUDY_TAG}{self._study['study']}": "yes",
                "cell": cell_name(trial),
                "dataset": config.dataset,
                "model": config.model.name,
                "seed": str(config.seed),
            },
        )

    def _close_trial(
        self, identity: str, outcome: Outcome, message: str, artifacts: Path, then: Callable[[Outcome], None]
    ) -> None:
        if self.outcomes.get(identity) == "failed":
            outcome, message = "failed", self.messages[identity]
        self._ledger.close_trial(self._run_ids[identity], outcome, message=message, artifacts=artifacts)
        del self._run_ids[identity]
        self.outcomes[identity] = outcome
        if message:
            self.messages[identity] = message
        then(outcome)

    def _close_all(self, interrupted: bool) -> None:
        for identity in list(self._run_ids):
            outcome = self.outcomes.setdefault(identity, "interrupted")
            message = self.messages.get(identity, "stopped before its last step")
            self._try_to_close(identity, outcome, message)
        ended = list(self.outcomes.values())
        counts = {f"num_{outcome}": float(ended.count(outcome)) for outcome in sorted(set(ended))}
        all_settled = len(ended) == len(self._trials) and all(map(is_settled, ended))
        outcome = "interrupted" if interrupted else "finished" if all_settled else "failed"
        self._ledger.close_launch(self._launch, outcome, counts)

    def _try_to_close(self, identity: str, outcome: Outcome, message: str) -> None:
        try:
            self._ledger.close_trial(self._run_ids[identity], outcome, message=message)
        except Exception as error:  # the next launch closes what this one could not
            self.messages[identity] = f"not closed: {type(error).__name__}: {error}"


def cell_name(trial: Trial) -> str:
    """The trial's cell in words, `optimizer=sgd schedule.name=cosine`; nuisance values follow."""
    return " ".join(f"{axis}={value}" for axis, value in trial.candidate.point.items())


def trial_name(trial: Trial) -> str:
    """What a trial is called where space is short: `adam constant lr=0.1 seed=0`."""
    labels = {**trial.candidate.point, "seed": trial.candidate.config.seed}
    return " ".join(_short(axis, value) for axis, value in labels.items())


def _short(axis: str, value: object) -> str:
    speaks_for_itself = isinstance(value, str) and value != "none"
    return str(value) if speaks_for_itself else f"{axis.split('.')[-1]}={value}"
