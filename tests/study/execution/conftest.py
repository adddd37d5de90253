"""Fixtures of tests that run studies on Ray."""

import pytest

from tests.study.execution.stores import Studies


@pytest.fixture(scope="module")
def studies(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Studies:
    return Studies(tmp_path_factory.mktemp("studies"))
