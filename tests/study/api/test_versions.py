"""Two versions of a study from one store: before a launch, and now."""

import time
from pathlib import Path

import pytest

from benchmarks.report import write_study
from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study import api
from study.analysis.comparison import SAME_TRIALS

SPACE = SearchSpace(
    name="versions",
    question="Does it differ?",
    base=FineTuneConfig(dataset="digits", resolution=8, steps=5),
    scientific={"schedule.name": ("cosine", "constant")},
    seeds=(0, 1),
)


def test_versions_of_a_store_are_compared_and_nothing_is_written_to_it(tmp_path: Path, cache_dir: Path) -> None:
    folders = api.make_folders(tmp_path / "mlruns", tmp_path, cache_dir=cache_dir)
    _, ledger = write_study(SPACE, SPACE.seeds, folders)
    runs = ledger.run_infos()
    now = api.read_version("now", SPACE, folders)
    [launch] = ledger.launches.infos()
    earlier = api.read_version("earlier", SPACE, folders, before=launch)
    later = api.read_version("later", SPACE, folders, before=str(time.localtime().tm_year + 1) + "-01-01")
    assert [cell.test for cell in api.compare_versions(earlier, now).cells] == ["no result"] * 2
    assert [cell.test for cell in api.compare_versions(later, now).cells] == [SAME_TRIALS] * 2
    paths = api.write_comparison(api.compare_versions(later, now), tmp_path / "reports")
    assert [path.name for path in paths] == ["compared-with-later.html", "compared-with-later.json"]
    assert ledger.run_infos() == runs
    with pytest.raises(InputError, match="--before = soon: must be a date"):
        api.read_version("earlier", SPACE, folders, before="soon")
