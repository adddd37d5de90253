"""Launches of a store that live: those whose process holds its lock, or on a server sends heartbeats."""

import time

from study.layout import LOCKS
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.records import RunInfo
from study.ledger.schema import HEARTBEAT_TAG
from study.ledger.server_locks import GRACE_PERIOD_S, HEARTBEAT_INTERVAL_S, MAX_HEARTBEAT_GAP_S


class Liveness:
    """Tells living launches from dead ones, whose runs say that they run until another launch ends them.

    It changes nothing in the store. On a server, a launch counts as living until it is seen to send no heartbeat.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._locks = None if ledger.server else Locks(ledger.root / LOCKS)
        self._seen_s: dict[tuple[str, str], float] = {}

    def living(self) -> dict[str, RunInfo]:
        """Return the launches that live, by the ids of their runs."""
        running = self._ledger.launches.running()
        if self._locks is not None:
            return {run_id: each for run_id, each in running.items() if self._locks.is_held(each.owner)}
        now_s = time.monotonic()
        heartbeats = [_heartbeat(each) for each in running.values()]
        self._seen_s = {each: self._seen_s.get(each, now_s) for each in heartbeats}
        return {
            run_id: each for run_id, each in running.items() if now_s - self._seen_s[_heartbeat(each)] <= GRACE_PERIOD_S
        }

    def wait_for_heartbeat(self) -> dict[str, RunInfo]:
        """Return the launches that live once each has shown it: on a server, this takes a few seconds."""
        first = self.living()
        if self._locks is not None:
            return first
        until_s = time.monotonic() + MAX_HEARTBEAT_GAP_S
        shown: set[str] = set()
        now = first
        while now.keys() - shown and time.monotonic() < until_s:
            time.sleep(HEARTBEAT_INTERVAL_S / 5)
            now = self.living()
            shown |= {
                key for key, each in now.items() if key not in first or _heartbeat(each) != _heartbeat(first[key])
            }
        return {key: each for key, each in now.items() if key in shown}


def _heartbeat(launch: RunInfo) -> tuple[str, str]:
    return launch.run_id, launch.tags.get(HEARTBEAT_TAG, "")
