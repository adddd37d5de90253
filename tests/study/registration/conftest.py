"""Stores of these tests, written once and copied."""

from pathlib import Path

import pytest

from tests.study.registration.written_study import WrittenStudy


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> WrittenStudy:
    """A store without launches."""
    study = WrittenStudy(tmp_path_factory.mktemp("empty"), cache_dir)
    (study.folders.store / "artifacts").mkdir(exist_ok=True)
    return study
