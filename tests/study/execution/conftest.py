"""Fixtures of tests that run studies on Ray."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.study.execution.fake_launch import FakeLaunch
from tests.study.execution.stores import Studies


@pytest.fixture(scope="module")
def studies(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Studies:
    return Studies(tmp_path_factory.mktemp("studies"))


@pytest.fixture
def make_launch(tmp_path: Path, cache_dir: Path) -> Callable[..., FakeLaunch]:
    return lambda grant, *spaces: FakeLaunch(tmp_path, cache_dir, grant, spaces)
