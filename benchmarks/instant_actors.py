"""Fake actors of Ray below Tune's loop. Their trials end at once, in the driver's own process.

So a launch has as many slots as are asked for on any machine, and what it takes is the driver's part.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from ray.air.execution._internal.tracked_actor import TrackedActor

from study.execution.resources import Node
from study.execution.trial_task import TrialTask

Updates = Callable[[TrialTask], Iterator[dict[str, Any]]]
"""Trains a trial: yields what it reports to Tune."""
IDLE_S = 0.001
"""Seconds that Tune's loop sleeps where no actor has anything to do."""


_ACTOR = SimpleNamespace(get_auto_filled_metrics=SimpleNamespace(remote=lambda **_: {}))
"""A worker, as Tune sees it."""


@contextmanager
def instant_actors(num_slots: int, updates: Updates) -> Iterator[None]:
    """Let launches of this process run their trials without Ray, on as many nodes of one CPU each."""
    nodes = [Node(cpus=1.0, gpus=0.0, id=str(number), name=f"node {number}") for number in range(num_slots)]
    with (
        patch("study.execution.admission.find_nodes", lambda: nodes),
        patch(
            "ray.tune.execution.tune_controller.RayActorManager", lambda resource_manager: _Actors(num_slots, updates)
        ),
    ):
        yield


class _Actors:
    """The part of `RayActorManager` that Tune's controller uses. Tasks of all actors run in turn."""

    def __init__(self, num_slots: int, updates: Updates) -> None:
        self._num_slots = num_slots
        self._updates = updates
        self._ids = count()
        self._pending: deque[TrackedActor] = deque()
        self._trials: dict[TrackedActor, Iterator[dict[str, Any]]] = {}
        self._starting: set[TrackedActor] = set()
        self._events: deque[tuple[TrackedActor, Callable[[], object]]] = deque()
        self._live_actors_to_ray_actors_resources: dict[TrackedActor, tuple[object, object]] = {}

    @property
    def num_live_actors(self) -> int:
        return len(self._live_actors_to_ray_actors_resources)

    @property
    def num_pending_actors(self) -> int:
        return len(self._pending)

    @property
    def num_total_actors(self) -> int:
        return self.num_live_actors + self.num_pending_actors

    @property
    def num_actor_tasks(self) -> int:
        return len(self._events)

    def add_actor(self, *, kwargs: dict[str, Any], on_start: Any, on_stop: Any, **_: object) -> TrackedActor:
        actor = TrackedActor(next(self._ids), on_start, on_stop)
        self._trials[actor] = self._results(kwargs["config"])
        self._pending.append(actor)
        return actor

    def next(self, timeout: float) -> bool:
        while self._pending and self.num_live_actors < self._num_slots:
            self._start(self._pending.popleft())
        if not self._events:
            time.sleep(min(IDLE_S, timeout))
            return False
        _, event = self._events.popleft()
        event()
        return True

    def schedule_actor_task(
        self,
        tracked_actor: TrackedActor,
        method_name: str,
        args: tuple[Any, ...] = (),
        on_result: Callable[[TrackedActor, Any], None] | None = None,
        **_: object,
    ) -> None:
        if method_name == "reset":
            self._trials[tracked_actor] = self._results(args[0])
        if on_result is not None:
            result = next(self._trials[tracked_actor]) if method_name == "train" else True
            self._events.append((tracked_actor, lambda: on_result(tracked_actor, result)))

    def remove_actor(self, tracked_actor: TrackedActor, **_: object) -> bool:
        self._trials.pop(tracked_actor, None)
        if self._live_actors_to_ray_actors_resources.pop(tracked_actor, None) is None:
            self._pending.remove(tracked_actor)
            return False
        if tracked_actor in self._starting:  # Ray then calls neither function
            self._starting.remove(tracked_actor)
            self.clear_actor_task_futures(tracked_actor)
        elif (on_stop := tracked_actor._on_stop) is not None:
            self._events.append((tracked_actor, lambda: on_stop(tracked_actor)))
        return True

    def clear_actor_task_futures(self, tracked_actor: TrackedActor) -> None:
        self._events = deque(each for each in self._events if each[0] != tracked_actor)

    def is_actor_started(self, tracked_actor: TrackedActor) -> bool:
        return tracked_actor in self._live_actors_to_ray_actors_resources

    def is_actor_failed(self, _: TrackedActor) -> bool:
        return False

    def cleanup(self) -> None:
        self._events.clear()

    def _start(self, actor: TrackedActor) -> None:
        self._live_actors_to_ray_actors_resources[actor] = _ACTOR, object()
        self._starting.add(actor)
        self._events.append((actor, lambda: self._started(actor)))

    def _started(self, actor: TrackedActor) -> None:
        self._starting.remove(actor)
        assert actor._on_start is not None
        actor._on_start(actor)

    def _results(self, config: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the reports of a trial as a Trainable returns them, then that its function has returned."""
        for number, update in enumerate(self._updates(config["task"]), start=1):
            times = {"time_this_iter_s": 0.01, "time_total_s": 0.01 * number, "time_since_restore": 0.01 * number}
            place = {"pid": os.getpid(), "hostname": "node", "node_ip": "127.0.0.1", "timestamp": 0, "date": ""}
            counts = {"training_iteration": number, "iterations_since_restore": number}
            yield {**update, **times, **place, **counts, "config": config, "done": False}
        yield {"done": True, "__duplicate__": True}
