"""benchmarks.instant_actors, driven as Tune's controller drives its actors."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from ray.tune.execution import tune_controller

from benchmarks.instant_actors import instant_actors
from study.execution import admission


def report(task: Any) -> Iterator[dict[str, Any]]:
    yield {"name": task.name, "loss": 2.0}
    yield {"name": task.name, "loss": 1.0}


def test_actors_report_in_turn_and_no_more_run_than_there_are_slots() -> None:
    called: list[Any] = []

    def params(name: str) -> dict[str, Any]:
        return {"task": SimpleNamespace(name=name)}

    with instant_actors(2, report):
        assert [node.cpus for node in admission.find_nodes()] == [1.0, 1.0]
        manager: Any = tune_controller.RayActorManager(resource_manager=None)
    actors = [
        manager.add_actor(kwargs={"config": params(name)}, on_start=called.append, on_stop=called.append, on_error=None)
        for name in "abc"
    ]
    while manager.next(timeout=0.1):
        pass
    first, second, third = actors
    assert called == [first, second]
    assert (manager.num_live_actors, manager.num_pending_actors, manager.num_total_actors) == (2, 1, 3)
    assert [manager.is_actor_started(actor) for actor in actors] == [True, True, False]

    results: list[tuple[Any, ...]] = []
    for actor in (first, second, first, first):
        manager.schedule_actor_task(actor, "train", on_result=lambda *result: results.append(result))
    assert manager.num_actor_tasks == 4
    manager.clear_actor_task_futures(second)
    while manager.next(timeout=0.1):
        pass
    assert [(actor, result.get("loss")) for actor, result in results] == [(first, 2.0), (first, 1.0), (first, None)]
    assert results[-1][1] == {"done": True, "__duplicate__": True}

    manager.schedule_actor_task(first, "reset", args=(params("d"),), on_result=lambda *result: results.append(result))
    manager.schedule_actor_task(first, "train", on_result=lambda *result: results.append(result))
    while manager.next(timeout=0.1):
        pass
    assert results[-2] == (first, True)
    assert results[-1][1]["name"] == "d"

    assert manager.remove_actor(second, kill=False)
    while manager.next(timeout=0.1):
        pass
    assert called == [first, second, second, third], "the one that waited starts"
    assert manager.remove_actor(third, kill=False)


def test_an_actor_that_is_removed_before_it_has_started_calls_nothing() -> None:
    called: list[Any] = []
    with instant_actors(2, report):
        manager: Any = tune_controller.RayActorManager(resource_manager=None)
    first, second = (
        manager.add_actor(
            kwargs={"config": {"task": None}}, on_start=called.append, on_stop=called.append, on_error=None
        )
        for _ in range(2)
    )
    assert manager.next(timeout=0.1)
    assert called == [first]
    assert manager.remove_actor(second, kill=False)
    while manager.next(timeout=0.1):
        pass
    assert called == [first]
