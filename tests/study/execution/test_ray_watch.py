import pytest

from study.execution import ray_watch
from study.execution.failures import RayLostError
from study.execution.ray_watch import RayWatch
from study.execution.resource_wait import ResourceWait


def test_ray_is_checked_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that runs has resources: nothing is asked about those of others."""
    checks: list[str] = []
    monkeypatch.setattr(ray_watch, "ray_is_alive", lambda: checks.append("ray") or True)
    monkeypatch.setattr(ResourceWait, "check", lambda _: checks.append("resources"))
    monkeypatch.setattr(ray_watch, "RAY_CHECK_INTERVAL_S", 1e9)
    watch = RayWatch(print)
    assert not watch.check(is_idle=True)
    assert checks == []
    monkeypatch.setattr(ray_watch, "RAY_CHECK_INTERVAL_S", -1.0)
    assert watch.check(is_idle=False)
    assert watch.check(is_idle=True)
    assert checks == ["ray", "ray", "resources"]


def test_a_dead_ray_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_watch, "ray_is_alive", lambda: False)
    monkeypatch.setattr(ray_watch, "RAY_CHECK_INTERVAL_S", -1.0)
    with pytest.raises(RayLostError):
        RayWatch(print).check(is_idle=True)
