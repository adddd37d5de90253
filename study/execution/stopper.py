"""Stopping a study, at a signal or on demand, or one trial that is pruned. Plugs into Ray Tune."""

import signal
import threading
from typing import Any

from ray import tune
from rich.console import Console

from study.execution.pruning import LivePruning
from study.system.storage import Storage


class Stateless:
    """A plug-in without state. Tune pickles plug-ins to restore a study; ours is restored from the ledger."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Stopper(Stateless, tune.Stopper):
    """Stops the study at Ctrl-C, SIGTERM or SIGHUP, or on demand. A second Ctrl-C exits at once.

    Terminals and schedulers send SIGTERM and SIGHUP more than once: repeated ones are ignored.

    Workers see the stop file, save their state and report that, upon which Tune stops them.

    A trial that is pruned is stopped while the others go on. Its worker waits in its report until then.

    Args:
        storage: files that driver and workers share.
        stop_file: name of the file in it that is created to stop the workers.

    Attributes:
        interrupted: a signal stopped the study.
        stopping: no trial may start, and running trials have to save their state and end.
        running: identities of the trials that run in a worker.
        pruning: those that may be pruned.
    """

    def __init__(self, console: Console, storage: Storage, stop_file: str) -> None:
        self.interrupted = False
        self.stopping = False
        self.running: set[str] = set()
        self.pruning = LivePruning()
        self._console = console
        self._storage = storage
        self.stop_file = stop_file

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return whether Tune has to stop a trial after this report. Tune asks once, before the callback sees it."""
        return self.pruning.prune(result) or self.has_saved(result)

    def has_saved(self, result: dict[str, Any]) -> bool:
        """Return whether a trial has saved its state because the study stops."""
        return self.stopping and result.get("saved", False)

    def stop(self) -> None:
        """Stop the study. May be called while a signal is handled: a thread waits for an object store."""
        is_first, self.stopping = not self.stopping, True
        if self._storage.folder is not None:
            self._storage.touch(self.stop_file)
        elif is_first:
            threading.Thread(target=self._touch_stop_file, daemon=True).start()

    def _touch_stop_file(self) -> None:
        self._storage.retry(lambda: self._storage.touch(self.stop_file), log=self._console.print)

    def stop_all(self) -> bool:
        """Return whether Tune has to stop every trial at once: none of them runs."""
        return self.stopping and not self.running

    def handle_signal(self, number: int, _: object) -> None:
        """Stop the study at a signal that asks this process to end."""
        if self.interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.interrupted:
            self.interrupted = True
            self.stop()
            self._console.print("stopping the trials; press Ctrl-C again to exit at once")
