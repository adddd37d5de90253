"""Results of a study as they were at an earlier time."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from revit.errors import InputError
from study.analysis.earlier_results import plan_before, time_of
from study.ledger.records import RunInfo
from study.plan import Folders
from tests.study.made_plans import BASE, plan_of, record_of

LAUNCHES = {
    run_id: RunInfo(run_id=run_id, status="FINISHED", deleted=False, metrics={}, tags={}, start_ms=start_ms)
    for run_id, start_ms in (("abcdef12", 5000), ("abcdef34", 9000))
}


def test_a_time_is_a_date_or_the_run_of_a_launch() -> None:
    assert time_of("2026-11-01", LAUNCHES) == datetime(2026, 11, 1).timestamp()
    assert time_of("2026-11-01 14:30", LAUNCHES) == datetime(2026, 11, 1, 14, 30).timestamp()
    assert time_of("abcdef34", LAUNCHES) == time_of("abcdef3", LAUNCHES) == 9.0


@pytest.mark.parametrize("text", ["abcdef", "abc", "yesterday", ""])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="must be a date as 2026-11-01"):
        time_of(text, LAUNCHES)


def test_each_cell_has_its_newest_result_from_before(tmp_path: Path, cache_dir: Path) -> None:
    folders = Folders(store=tmp_path, data=tmp_path, cache=cache_dir)
    now = plan_of(folders)
    former = plan_of(folders, base=BASE.with_values({"mixup": 0.5}))
    oldest = plan_of(folders, base=BASE.with_values({"mixup": 0.1}))
    records = {
        trial.identity: replace(record_of(trial), start_s=1, end_s=end_s)
        for plan, end_s in ((now, 300), (former, 200), (oldest, 100))
        for trial in plan.trials
    }
    lost = former.trials[0]
    records[lost.identity] = replace(records[lost.identity], tags={**records[lost.identity].tags, "phase": "search"})
    found = plan_before(now, records, 250)
    identities = [trial.record.identity if trial.record else None for trial in found.trials]
    assert identities == [oldest.trials[0].identity, *(trial.identity for trial in former.trials[1:])]
    assert [trial.record for trial in plan_before(now, records, 50).trials] == [None] * 4
    assert [trial.identity for trial in plan_before(now, records, 400).trials] == [each.identity for each in now.trials]
