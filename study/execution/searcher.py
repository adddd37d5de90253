"""What Tune is given to do, one trial after the other, and when it stops. Plugs into Ray Tune."""

import random
import signal
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from ray import tune
from ray.tune.search import Searcher
from rich.console import Console

from revit.errors import first_line
from study.execution.resources import ResourceGrant
from study.execution.trial_task import TrialTask
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import TrialRecord
from study.ledger.transient import is_transient
from study.plan import Trial
from study.system.signals import handled

LEASE_POLL_S = 1.0
"""How often to ask for the leases that another process has, or a store that is away."""
LEASE_WAIT_S = 0.05
"""For how long Tune's loop waits for the thread that asks: a disk answers sooner, a server need not."""


class Stateless:
    """Tune pickles callbacks and stoppers to restore a study from; ours restores from the ledger."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TrialSearcher(Stateless, Searcher):
    """Hands Tune one trial after the other: each whose lease is got, and that nobody has settled since.

    Args:
        trials: those to run.
        grant: what each of them gets of Ray's nodes.
        make_task: returns the task of a trial with a grant.

    Attributes:
        found: what the ledger had of a trial, when its lease was got; by identity, where it had anything.
        fault: why no lease can be had any more, one line; empty while all is well.
    """

    def __init__(
        self,
        trials: list[Trial],
        grant: ResourceGrant,
        make_task: Callable[[Trial, ResourceGrant], TrialTask],
        locks: Locks,
        ledger: Ledger,
        stopper: "Stopper",
    ) -> None:
        super().__init__()
        self._grant = grant
        self._make_task = make_task
        self._waiting = deque(trials)
        self._running: dict[str, Trial] = {}
        self.found: dict[str, TrialRecord] = {}
        self.fault = ""
        self._exclusive: set[str] = set()
        self._locks = locks
        self._ledger = ledger
        self._stopper = stopper
        self._look_again = 0.0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="locks")
        self._search: Future[_Found] | None = None

    @property
    def num_left(self) -> int:
        """Trials that have not ended, neither here nor elsewhere."""
        return len(self._waiting) + len(self._running)

    def suggest(self, trial_id: str) -> Any:
        """Return the next task; None where there is none for now."""
        if self._stopper.stopping or not self.num_left:
            return Searcher.FINISHED
        if self.fault or time.monotonic() < self._look_again:
            return None
        if self._search is None:
            self._search = self._thread.submit(self._take_first, list(self._waiting))
        if not wait([self._search], LEASE_WAIT_S).done:
            return None
        trial = self._next()
        if trial is None:
            self._look_again = time.monotonic() + random.uniform(0.5, 1.5) * LEASE_POLL_S  # not in step with others
            return None
        self._running[trial.identity] = trial
        grant = self._grant.exclusive() if trial.identity in self._exclusive else self._grant
        return {"task": self._make_task(trial, grant)}

    def _next(self) -> Trial | None:
        """Return the trial that the thread has got the lease of; None where it got none."""
        assert self._search is not None
        search, self._search = self._search, None
        try:
            trial, settled = search.result()
        except Exception as error:  # whatever a store can raise
            if not is_transient(error):
                self.fault = f"no trial can be begun: {first_line(error)}"
            return None
        gone = {*settled, *([trial.identity] if trial else [])}
        self._waiting = deque(each for each in self._waiting if each.identity not in gone)
        return trial

    def _take_first(self, waiting: list[Trial]) -> "_Found":
        """Take the lease of the first trial that nobody else trains or has settled. In a thread: a server may hang."""
        settled: list[str] = []
        for trial in waiting:
            if not self._locks.acquire(trial.identity):
                continue
            if not self._is_settled(trial):
                return _Found(trial, settled)
            self._locks.release(trial.identity)
            settled.append(trial.identity)
        return _Found(None, settled)

    def close(self) -> None:
        """Ask for no lease any more."""
        self._thread.shutdown(cancel_futures=True)

    def _is_settled(self, trial: Trial) -> bool:
        """Whether somebody settled it since the plan was made."""
        record = self._ledger.find(trial.identity)
        if record is None:
            return False
        self.found[trial.identity] = record
        return record.state.is_terminal

    def requeue(self, identity: str) -> None:
        """Let a running trial run again."""
        self._waiting.appendleft(self._running.pop(identity))

    def can_requeue_exclusively(self, identity: str) -> bool:
        """Return whether a trial ran beside others, and can have its GPU or its node to itself."""
        return self._grant.is_shared and identity not in self._exclusive

    def requeue_exclusively(self, identity: str) -> None:
        """Let a running trial run again, with its GPU or its node to itself."""
        self._exclusive.add(identity)
        self.requeue(identity)

    def requeue_all(self) -> None:
        """Let every trial that was running run again."""
        for identity in list(self._running):
            self.requeue(identity)

    def ended(self, identity: str) -> None:
        """A trial is over."""
        self._running.pop(identity, None)

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Tune asks whether a metric and a mode will do: there is none."""
        return True

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Nothing to learn."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is what a study resumes from."""


class _Found(NamedTuple):
    """A trial whose lease was got, and identities of those that somebody had settled meanwhile."""

    trial: Trial | None
    settled: list[str]


class Stopper(Stateless, tune.Stopper):
    """Stops the study at Ctrl-C, SIGTERM or SIGHUP, or on demand; at a second Ctrl-C it leaves at once.

    Terminals and schedulers send the other signals more than once: those are heard once.

    Workers see the stop file, save their state and report so, which is when Tune stops them.

    Attributes:
        pressed: a signal asked for it.
        stopping: no trial is to begin, and those that run are to save their state and end.
        running: identities of the trials that a worker has.
    """

    def __init__(self, console: Console, stop_file: Path) -> None:
        self.interrupted = False
        self.stopping = False
        self.running: set[str] = set()
        self._console = console
        self._stop_file = stop_file

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether Tune is to stop one trial after this report."""
        return self.stopping and result.get("saved", False)

    def stop(self) -> None:
        """Stop the study."""
        self.stopping = True
        self._stop_file.parent.mkdir(parents=True, exist_ok=True)
        self._stop_file.touch()

    def stop_all(self) -> bool:
        """Whether Tune is to stop every trial at once: those that have not begun."""
        return self.stopping and not self.running

    def handle_signals(self) -> AbstractContextManager[None]:
        """While inside, signals that ask this process to end stop the study. Main thread only."""
        return handled(self._press)

    def _press(self, number: int, _: object) -> None:
        if self.interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.interrupted:
            self.interrupted = True
            self.stop()
            self._console.print("stopping the trials; press Ctrl-C again to leave at once")
