"""Stores of these tests, written once and copied."""

from pathlib import Path

import pytest

from tests.study.registration.made_study import MadeStudy
from tests.study.registration.written_study import WrittenStudy


@pytest.fixture
def study(tmp_path: Path, cache_dir: Path) -> MadeStudy:
    """A study of two launches, the first of which finished three trials."""
    study = MadeStudy(tmp_path, cache_dir)
    study.launch(num_finished=3)
    study.launch()
    return study


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> WrittenStudy:
    """A store without launches."""
    study = WrittenStudy(tmp_path_factory.mktemp("empty"), cache_dir)
    (study.folders.store / "artifacts").mkdir(exist_ok=True)
    return study
