"""Names of table columns: refused as names of axes, complete."""

from pathlib import Path

import pytest

from revit.config import FineTuneConfig
from revit.errors import InputError
from search_spaces.framework.space import SearchSpace
from study.analysis.results import cell_table, trial_table
from study.plan import Folders, make_plan
from study.table_columns import TABLE_COLUMNS, check_axis_names

BASE = FineTuneConfig(dataset="digits", steps=10)


@pytest.fixture
def folders(tmp_path: Path, cache_dir: Path) -> Folders:
    return Folders(store=tmp_path, data=cache_dir, cache=cache_dir)


def space_of(axis: str) -> SearchSpace:
    levels = {"short": {"steps": 10}, "long": {"steps": 20}}
    return SearchSpace(name="example", question="Does it?", base=BASE, scientific={axis: levels})


@pytest.mark.parametrize("axis", ["state", "lines", "test accuracy, %", "test_loss"])
def test_an_axis_with_the_name_of_a_column_is_refused(axis: str, folders: Folders) -> None:
    message = f"search space example: axis {axis}: tables have a column of that name; name it differently"
    with pytest.raises(InputError, match=message):
        check_axis_names(space_of(axis))
    with pytest.raises(InputError, match=message):
        make_plan(space_of(axis), (0,), folders, {})


def test_tables_have_only_the_axes_and_these_columns(folders: Folders) -> None:
    space = space_of("pace")
    check_axis_names(space)
    plan = make_plan(space, (0,), folders, {})
    assert {*trial_table(plan).columns, *cell_table(plan).columns} - {"pace"} <= TABLE_COLUMNS
