"""What Tune is given to do, one trial after the other, and when it stops. Plugs into Ray Tune."""

import random
import signal
import time
from collections import deque
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher
from rich.console import Console

from study.leases import Leases
from study.ledger import Ledger, may_pass
from study.orders import Orders
from study.plan import Trial
from study.records import TrialRecord
from study.signals import handled

LEASE_POLL_S = 1.0
"""How often to ask for the leases that another process has, or a store that is away."""


class Stateless:
    """Tune pickles callbacks and stoppers to restore a study from; ours restores from the ledger."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Queue(Stateless, Searcher):
    """Hands Tune one trial after the other: each whose lease is got, and that nobody has settled since.

    Args:
        trials: those to run.

    Attributes:
        found: what the ledger had of a trial, when its lease was got; by identity, where it had anything.
    """

    def __init__(self, trials: list[Trial], orders: Orders, leases: Leases, ledger: Ledger, stopper: "Stopper") -> None:
        super().__init__()
        self._orders = orders
        self._waiting = deque(trials)
        self._running: dict[str, Trial] = {}
        self.found: dict[str, TrialRecord] = {}
        self._alone: set[str] = set()
        self._leases = leases
        self._ledger = ledger
        self._stopper = stopper
        self._look_again = 0.0

    @property
    def num_left(self) -> int:
        """Trials that have not ended, neither here nor elsewhere."""
        return len(self._waiting) + len(self._running)

    def suggest(self, trial_id: str) -> Any:
        """The next order; None where there is none for now."""
        if self._stopper.stopping or not self.num_left:
            return Searcher.FINISHED
        if time.monotonic() < self._look_again:
            return None
        try:
            trial = self._next()
        except Exception as error:
            if not may_pass(error):
                raise
            trial = None  # the store is away
        if trial is None:
            self._look_again = time.monotonic() + random.uniform(0.5, 1.5) * LEASE_POLL_S  # not in step with others
            return None
        self._running[trial.identity] = trial
        return {"order": asdict(self._orders.order(trial, alone=trial.identity in self._alone))}

    def _next(self) -> Trial | None:
        """The first trial that waits and that nobody else trains or has settled; None where there is none."""
        for _ in range(len(self._waiting)):
            trial = self._waiting[0]
            if not self._leases.take(trial.identity):
                self._waiting.rotate(-1)
                continue
            settled = self._is_settled(trial)
            self._waiting.popleft()
            if not settled:
                return trial
            self._leases.release(trial.identity)
        return None

    def _is_settled(self, trial: Trial) -> bool:
        """Whether somebody settled it since the plan was made."""
        record = self._ledger.find(trial.identity)
        if record is None:
            return False
        self.found[trial.identity] = record
        return record.settled

    def again(self, identity: str) -> None:
        """Let a trial that was running run again."""
        self._waiting.appendleft(self._running.pop(identity))

    def alone_again(self, identity: str) -> None:
        """Let a trial that was running run again, with nothing beside it."""
        self._alone.add(identity)
        self.again(identity)

    def all_again(self) -> None:
        """Let every trial that was running run again."""
        for identity in list(self._running):
            self.again(identity)

    def was_alone(self, identity: str) -> bool:
        """Whether a trial has run alone."""
        return identity in self._alone

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
        self.pressed = False
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

    def listening(self) -> AbstractContextManager[None]:
        """While inside, signals that ask this process to end stop the study. Main thread only."""
        return handled(self._press)

    def _press(self, number: int, _: object) -> None:
        if self.pressed and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.pressed:
            self.pressed = True
            self.stop()
            self._console.print("stopping the trials; press Ctrl-C again to leave at once")
