"""The source of the trials that run. Plugs into Ray Tune."""

import random
import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from ray.tune.search import Searcher

from revit.errors import first_line
from study.execution.cell_pruners import PrunedPoint
from study.execution.point_asker import PointAsker
from study.execution.resources import ResourceGrant
from study.execution.stopper import Stateless, Stopper
from study.execution.trial_task import TrialTask, make_task
from study.forecast.queue import SearchTurn, TrialQueue
from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from study.ledger.transient import is_transient
from study.plan import Plan, first_of_each
from study.trial import Trial

LOCK_POLL_S = 1.0
"""Mean time between attempts to acquire locks that other launches hold, or whose store is unavailable."""
LOCK_WAIT_S = 0.05
"""Maximum time that Tune's loop waits for the thread that acquires locks: a server can be slow."""
IDLE_WAIT_S = 1.0
"""The same while no trial runs, of which results could wait."""


class Found(NamedTuple):
    """Result of looking for the next trial.

    Attributes:
        trial: the next one, with its lock; None for none.
        finished: identities of trials that other launches have finished.
        answered: searches that were asked in vain.
        pruner: that may end the trial early; None for none.
        asked: trials that a search has added, and the search.
    """

    trial: Trial | None
    finished: list[str]
    answered: list[SearchTurn]
    pruner: PrunedPoint | None = None
    asked: tuple[list[Trial], SearchTurn] | None = None


class TrialSearcher(Stateless, Searcher):
    """Suggests one trial at a time to Tune: each whose lock it acquires, and that no other launch has finished.

    Where studies have searches, these are asked for further trials in their turn, as soon as one can run.

    Beside the trials that can run at a time, Tune gets one that waits, for a worker that becomes idle. None passes a
    trial that waits for a GPU or a node to itself.

    Args:
        queue: known trials to run.
        known: filled with every trial that is handed out, by identity.
        askers: sources of further trials, by the name of their study; none where all are known.

    Attributes:
        error: why no further lock can be acquired, one line; empty while all is well.
    """

    def __init__(
        self,
        queue: TrialQueue,
        known: dict[str, Trial],
        grant: ResourceGrant,
        locks: Locks,
        ledger: Ledger,
        stopper: Stopper,
        askers: Mapping[str, PointAsker] | None = None,
    ) -> None:
        super().__init__()
        self.error = ""
        self._grant = grant
        self._queue = queue
        self._known = known
        self._askers = dict(askers or {})
        self._num_unknown = self._count_unknown()
        self._withdrawn: set[str] = set()
        self._running: dict[str, Trial] = {}
        self._started: set[str] = set()
        self._exclusive: set[str] = set()
        self._answered: set[tuple[str, str]] = set()
        self._locks = locks
        self._ledger = ledger
        self._stopper = stopper
        self._next_poll_s = 0.0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="locks")
        self._search: Future[Found] | None = None

    @property
    def num_left(self) -> int:
        """Number of trials that have not ended, in this launch or in another, those to come included."""
        return len(self._queue) + len(self._running) + sum(self._num_unknown.values())

    def is_complete(self, plan: Plan) -> bool:
        """Return whether a study has nothing left to run, given the plan with which the launch began."""
        study, left = plan.space.name, {*(trial.identity for trial in self._queue.trials), *self._running}
        is_known_left = not left.isdisjoint(trial.identity for trial in plan.to_run)
        return not (is_known_left or self._num_unknown.get(study, 0) or self.is_withdrawn(study))

    def is_withdrawn(self, study: str) -> bool:
        """Return whether no further trial of a study begins."""
        return study in self._withdrawn

    def withdraw(self, study: str, needed: Collection[str]) -> None:
        """Begin no further trial of a study, except those that other studies need.

        Args:
            needed: identities of the known trials of other studies.
        """
        self._withdrawn.add(study)
        self._num_unknown.pop(study, None)
        self._askers.pop(study, None)
        needed = {*needed, *(identity for asker in self._askers.values() for identity in asker.known)}
        of_study = {trial.identity for trial in self._queue.trials if trial.study_name == study}
        self._queue.discard(of_study.difference(needed))

    def suggest(self, trial_id: str) -> Any:
        """Return the next task; None where there is none for now."""
        if self._stopper.stopping or self.error or not self.num_left:
            return Searcher.FINISHED  # Tune asks again and again where no trial runs, and nothing else
        if time.monotonic() < self._next_poll_s or not self._has_room():
            return None
        if self._search is None:
            self._search = self._submit_search()
        if not wait([self._search], LOCK_WAIT_S if self._running else IDLE_WAIT_S).done:
            return None
        trial, has_asked = self._pop_found()
        if has_asked:
            return self.suggest(trial_id)  # one of them can run
        if trial is None:
            self._answered.clear()
            self._next_poll_s = time.monotonic() + random.uniform(0.5, 1.5) * LOCK_POLL_S  # out of step with others
            return None
        trial = first_of_each([trial, self._known.get(trial.identity, trial)])[trial.identity]
        self._running[trial.identity] = self._known[trial.identity] = trial
        grant = self._grant_of(trial.identity)
        is_exclusive = trial.identity in self._exclusive  # memory was short
        following = self._following() if grant.prepares_next and not is_exclusive else None
        return {"task": replace(self._make_task(trial, grant), following=following)}

    def _grant_of(self, identity: str) -> ResourceGrant:
        return self._grant.exclusive() if identity in self._exclusive else self._grant

    def is_too_large(self, task: TrialTask) -> bool:
        """Return whether a task that was handed out fits no node since nodes have died."""
        given, left = task.grant, self._grant_of(task.identity)
        return given.num_cpus > left.num_cpus or (given.on_one_node and not left.on_one_node)

    def _make_task(self, trial: Trial, grant: ResourceGrant) -> TrialTask:
        return make_task(
            trial,
            grant,
            storage=self._ledger.storage,
            stop_file=self._stopper.stop_file,
            is_prunable=trial.identity in self._stopper.pruning,
        )

    def _following(self) -> TrialTask | None:
        """Return the task that the worker of the trial that starts now probably has next; None for none.

        If trials take equally long, all that run now end before, and each takes one that waits.
        """
        waiting = (each for each in self._queue.in_order() if isinstance(each, Trial))
        trial = next(islice(waiting, self._grant.max_concurrent_trials - 1, None), None)
        return None if trial is None else self._make_task(trial, self._grant)

    def _has_room(self) -> bool:
        """Return whether Tune may get a further trial."""
        waiting = self._running.keys() - self._started
        is_full = len(self._running) >= self._grant.max_concurrent_trials
        return not (waiting & self._exclusive) and not (waiting and is_full)

    def _submit_search(self) -> Future[Found]:
        turns = [turn for asker in self._askers.values() for turn in asker.turns() if turn.key not in self._answered]
        in_order = self._queue.in_order(turns)
        busy = {*self._running, *(trial.identity for trial in self._queue.trials)} if turns else set()
        may_ask = len(self._running) < self._grant.max_concurrent_trials
        return self._thread.submit(self._find_next, in_order, busy, dict(self._askers), may_ask=may_ask)

    def _pop_found(self) -> tuple[Trial | None, bool]:
        """Return the trial that the thread found, None for none, and whether it asked for others.

        These wait from now on; those that other launches have finished do not any more.
        """
        assert self._search is not None
        search, self._search = self._search, None
        try:
            trial, finished, answered, pruner, asked = search.result()
            self._num_unknown = self._count_unknown()  # not before, as some are in `asked`
        except Exception as error:  # whatever a store can raise
            if not is_transient(error):
                self.error = f"no trial can be started: {first_line(error)}"
            return None, False
        self._answered |= {turn.key for turn in answered}
        if asked is not None and asked[1].study not in self._withdrawn:
            trials, turn = asked
            self._queue.add([each for each in trials if each.identity not in self._running], [turn.tested])
        self._queue.discard([*finished, *([trial.identity] if trial else [])])
        if trial is not None and pruner is not None:
            for past in pruner.missing:
                pruner.pruner.replay(past)
            self._stopper.pruning.begin(trial.identity, pruner.pruner, pruner.number)
        return trial, asked is not None

    def _count_unknown(self) -> dict[str, int]:
        return {study: asker.num_unknown for study, asker in self._askers.items()}

    def _find_next(
        self,
        in_order: Iterable[Trial | SearchTurn],
        busy: Collection[str],
        askers: Mapping[str, PointAsker],
        *,
        may_ask: bool,
    ) -> Found:
        """Return the first trial in order that can run, or the trials of a search that has its turn before.

        A search is asked only when a trial could run at once: the later, the more results it knows. Runs in a thread: a
        server may hang.
        """
        finished: list[str] = []
        answered: list[SearchTurn] = []
        refresh = cache(lambda study: askers[study].refresh())
        for each in in_order:
            if isinstance(each, Trial):
                if self._acquire(each, finished):
                    pruners = (asker.find_pruner(each) for asker in askers.values())
                    return Found(each, finished, answered, next(filter(None, pruners), None))
            elif not may_ask:
                break
            elif refresh(each.study) and (asked := askers[each.study].ask(each, {*busy}.difference(finished))):
                return Found(None, finished, answered, asked=(asked, each))  # they wait before anything else can fail
            else:
                answered.append(each)
        return Found(None, finished, answered)

    def _acquire(self, trial: Trial, finished: list[str]) -> bool:
        """Acquire the lock of a trial; return False if another launch trains it or, which is noted, has finished it."""
        if not self._locks.acquire(trial.identity):
            return False
        record = self._ledger.find(trial.identity)
        if record is None or not record.state.is_terminal:
            return True
        self._locks.release(trial.identity)
        finished.append(trial.identity)
        return False

    def use_grant(self, grant: ResourceGrant) -> None:
        """Hand out trials with another grant from now on."""
        self._grant = grant

    def close(self) -> None:
        """Acquire no further lock."""
        self._thread.shutdown(cancel_futures=True)

    def start_trial(self, identity: str) -> None:
        """Take note that a worker has started a trial."""
        self._started.add(identity)

    def measure_trial(self, identity: str, num_steps: float, train_time_s: float, device: str) -> None:
        """Correct the expected times of the trials that wait by what one took (`TrialCosts.measure`)."""
        self._queue.costs.measure(self._known[identity], num_steps, train_time_s, device)

    def is_running(self, identity: str) -> bool:
        """Return whether Tune has a trial that has not ended."""
        return identity in self._running

    def requeue(self, identity: str) -> None:
        """Run a trial again that was running."""
        self._started.discard(identity)
        self._queue.requeue(self._running.pop(identity), exclusively=identity in self._exclusive)

    def requeue_all(self) -> None:
        """Run every trial again that was running."""
        for identity in list(self._running):
            self.requeue(identity)

    def requeue_exclusively(self, identity: str) -> bool:
        """Run a trial again with its GPU or node to itself; return False if it had that already."""
        if self._grant.max_concurrent_trials == 1 or identity in self._exclusive:
            return False
        self._exclusive.add(identity)
        self.requeue(identity)
        return True

    def end_trial(self, identity: str) -> None:
        """Drop a trial that has ended."""
        self._running.pop(identity, None)
        self._started.discard(identity)
        self._answered.clear()
        self._next_poll_s = 0.0

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Ignore results: no suggestion depends on a result."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: a study resumes from the ledger."""
