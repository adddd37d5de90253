"""study.registration.plan_comparison."""

from pathlib import Path

from tests.study.registration.made_study import MadeStudy


def test_a_plan_is_compared_with_the_records_of_its_own_study(tmp_path: Path, cache_dir: Path) -> None:
    study = MadeStudy(tmp_path, cache_dir)
    assert study.compare().summary == "not registered yet: no trial has run"
    study.launch()
    report = study.compare()
    assert report.num_records == 1
    assert report.summary.startswith("1 record of launches, the newest with the SHA-256 ")
    assert report.summary.endswith(report.head)
    assert study.ledger.stored["launch 0"].digest == report.head
    study.launch()
    assert study.compare().num_records == 2
