"""Writes what happens to the ledger, in order, in one thread, so that no trial waits for a database."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from study.changes import ORIGIN_TAG
from study.labels import trial_label
from study.ledger import Ledger, may_pass
from study.patience import patiently
from study.plan import Trial
from study.records import Measurement, News, Outcome, TrialRecord, is_settled, now_ms, study_tags

WRITE_EVERY_S = 1.0
"""What a trial tells sooner after it was last written waits for what it tells next, or for its end."""
TESTED = "test_accuracy"
"""Metric of the one row that a trial measures when it is over."""


class Recorder:
    """The only writer of one launch. Its methods return at once; `close` waits until all is written.

    What a trial tells in quick succession is written at once: of a short trial, writing is the larger part.

    While the disk is full, or a server is away, it waits and writes later what is measured meanwhile: trials go on. A
    trial of which something can never be written is failed, not finished: its results are not whole.

    Args:
        ledger: where to.
        launch: id of the launch's run.
        study: tags of the study: its name as `study`, its recipe and scale.
        trials: every trial that may start.
        confirm: called before each write; raises where the launch may not write any more (`Leases.confirm`).
        tell: what to do with a line for the user, on waiting for the store.

    Attributes:
        outcomes: how each trial that started has ended, by identity; complete after `close`.
        messages: why, one line, for each that did not finish and was not interrupted.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        launch: str,
        study: Mapping[str, str],
        trials: list[Trial],
        confirm: Callable[[], None] = lambda: None,
        tell: Callable[[str], None],
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.messages: dict[str, str] = {}
        self._ledger = ledger
        self._launch = launch
        self._study = study
        self._trials = {trial.identity: trial for trial in trials}
        self._confirm = confirm
        self._tell = tell
        self._open: dict[str, TrialRecord] = {}
        self._last_step: dict[str, int] = {}
        self._news: defaultdict[str, News] = defaultdict(News)
        self._written_s: dict[str, float] = {}
        self._hurry = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")

    def started(self, identity: str, known: TrialRecord | None = None) -> None:
        """A trial began, or goes on; of one that is new to this launch, `known` is what the ledger had of it."""
        self._submit(identity, lambda: self._open_trial(identity, self._open.get(identity, known)))

    def rows(self, identity: str, rows: list[dict[str, float]]) -> None:
        """A trial measured something. Steps that the ledger has already, from before a resume, are left out."""
        now = now_ms()
        self._note(identity, lambda news: news.rows.extend(Measurement(row, now) for row in rows))
        self._submit(identity, lambda: self._write_where_due(identity))

    def final(self, identity: str, row: dict[str, float]) -> None:
        """What a finished trial measured at the end, once; it is written with that end."""
        measurement = Measurement(row, now_ms())
        self._note(identity, lambda news: news.rows.append(measurement))

    def tags(self, identity: str, tags: dict[str, str]) -> None:
        """What is known of a trial's surroundings: its device, precision, versions."""
        self._note(identity, lambda news: news.tags.update(tags))
        self._submit(identity, lambda: self._write_where_due(identity))

    def ended(
        self,
        identity: str,
        outcome: Outcome,
        *,
        message: str,
        failure: str = "",
        traceback: str = "",
        artifacts: Path,
        then: Callable[[Outcome], None],
    ) -> None:
        """A trial is over.

        Args:
            failure, traceback: the class of its failure and where it came from, empty where it did not fail.
            artifacts: folder of the files to keep; the traceback joins them.
            then: called with the outcome once all is written.
        """
        if traceback:
            self._submit(identity, lambda: _write_traceback(artifacts, traceback))
        self._submit(identity, lambda: self._close_trial(identity, outcome, message, failure, artifacts))
        self._thread.submit(self._write, lambda: then(self.outcomes[identity]))

    def close(self, *, interrupted: bool, complete: bool) -> None:
        """Mark as interrupted whatever began and did not end, end the launch, wait until all is written.

        Args:
            interrupted: the user is in a hurry: what cannot be written now is left to the next launch, which has it
                from the trials' checkpoints.
            complete: every trial of the launch has been settled, by this launch or another.

        Raises:
            MlflowException, OSError: the launch itself could not be ended; not where there is a hurry.
        """
        if interrupted:
            self._hurry.set()
        for identity in self._trials:
            self._submit(identity, partial(self._close_interrupted, identity))
        ending = self._thread.submit(self._write, partial(self._close_launch, interrupted, complete))
        self._thread.shutdown(wait=True)
        if not interrupted:
            ending.result()

    def _note(self, identity: str, add: Callable[[News], None]) -> None:
        self._thread.submit(lambda: add(self._news[identity]))

    def _submit(self, identity: str, write: Callable[[], None]) -> None:
        def write_or_note() -> None:
            try:
                self._write(write)
            except Exception as error:  # whatever a store can raise: the trial is then not whole
                self._news.pop(identity, None)  # it can still be ended
                self.messages.setdefault(identity, f"not written: {type(error).__name__}: {error}")
                self.outcomes[identity] = "failed"

        self._thread.submit(write_or_note)

    def _write(self, write: Callable[[], None]) -> None:
        def confirm_and_write() -> None:
            self._confirm()
            write()

        patiently(confirm_and_write, passing=may_pass, hurry=self._hurry.is_set, tell=self._tell_of_store)

    def _tell_of_store(self, line: str) -> None:
        self._tell(f"the store {self._ledger.server or self._ledger.root} {line}; trials go on")

    def _open_trial(self, identity: str, known: TrialRecord | None) -> None:
        trial = self._trials[identity]
        config = trial.candidate.config
        known = self._ledger.open_trial(
            identity,
            known,
            launch=self._launch,
            name=trial_label(trial),
            tags={
                **self._study,
                **study_tags(self._study["study"], trial.cell),
                "seed": str(config.seed),
                "dataset": config.dataset,
                "model": config.model.name,
                **{f"{ORIGIN_TAG}{name}": value for name, value in trial.origin.items()},
            },
        )
        self._open[identity] = known
        self._last_step.setdefault(identity, known.last_step)
        self._news[identity] = News(config=config.flat())  # again, too: whoever began it may have died before
        self._written_s[identity] = time.monotonic()

    def _write_where_due(self, identity: str) -> None:
        if time.monotonic() - self._written_s[identity] >= WRITE_EVERY_S:
            news = self._unwritten(identity)
            self._ledger.log(self._open[identity].run_id, news)
            self._last_step[identity] = max([self._last_step[identity], *(int(row["step"]) for row, _ in news.rows)])
            self._news[identity] = News()
            self._written_s[identity] = time.monotonic()

    def _unwritten(self, identity: str) -> News:
        """What is known of a trial, without what is written from before a resume."""
        news = self._news[identity]
        return replace(news, rows=[each for each in news.rows if self._is_new(identity, each.row)])

    def _is_new(self, identity: str, row: Mapping[str, float]) -> bool:
        if TESTED in row:
            return TESTED not in self._open[identity].metrics  # else it died between this and its end
        return row["step"] > self._last_step[identity]

    def _close_trial(self, identity: str, outcome: Outcome, message: str, failure: str, artifacts: Path) -> None:
        if self.outcomes.get(identity) == "failed":
            outcome, message = "failed", self.messages[identity]
        self._ledger.close_trial(
            self._open[identity].run_id,
            outcome,
            news=self._unwritten(identity),
            message=message,
            failure=failure,
            artifacts=artifacts,
        )
        del self._open[identity], self._news[identity]
        self.outcomes[identity] = outcome
        if message:
            self.messages[identity] = message

    def _close_interrupted(self, identity: str) -> None:
        if identity in self._open:
            outcome = self.outcomes.setdefault(identity, "interrupted")
            message = self.messages.get(identity, "stopped before its last step")
            run_id, news = self._open[identity].run_id, self._unwritten(identity)
            self._ledger.close_trial(run_id, outcome, news=news, message=message)

    def _close_launch(self, interrupted: bool, complete: bool) -> None:
        ended = list(self.outcomes.values())
        counts = {f"num_{outcome}": float(ended.count(outcome)) for outcome in sorted(set(ended))}
        done = complete and all(map(is_settled, ended))
        outcome: Outcome = "interrupted" if interrupted else "finished" if done else "failed"
        self._ledger.close_launch(self._launch, outcome, counts)


def _write_traceback(artifacts: Path, traceback: str) -> None:
    artifacts.mkdir(parents=True, exist_ok=True)
    (artifacts / "traceback.txt").write_text(traceback)
