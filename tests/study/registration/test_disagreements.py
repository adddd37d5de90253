"""study.registration.disagreements."""

from dataclasses import replace

from study.registration.disagreements import find_disagreements, launch_files, report_files
from tests.study.registration.made_study import FASTER, MadeStudy, with_claims


def disagreements(study: MadeStudy) -> list[str]:
    return list(find_disagreements(study.history(), study.ledger.records))


def test_an_honest_study_agrees(study: MadeStudy) -> None:
    assert disagreements(study) == []


def test_an_edited_manifest_disagrees(study: MadeStudy) -> None:
    launch, stored = next(iter(study.ledger.stored.items()))
    name = next(name for name in stored.files if name.endswith(".prml.yaml"))
    study.ledger.stored[launch] = replace(stored, files={**stored.files, name: "threshold: 0"})
    [line] = disagreements(study)
    assert name in line
    assert line.endswith("differs from its record")
    study.ledger.stored[launch] = replace(
        stored, files={each: text for each, text in stored.files.items() if each != name}
    )
    assert disagreements(study) == [line.replace("differs from its record", "is missing")]


def test_a_record_from_another_time_than_its_launch_disagrees(study: MadeStudy) -> None:
    launch, stored = next(iter(study.ledger.stored.items()))
    study.ledger.stored[launch] = replace(stored, start_s=stored.start_s + 3600)
    assert "says that it is of" in disagreements(study)[0]


def test_a_trial_older_than_the_record_that_it_cites_disagrees(study: MadeStudy) -> None:
    identity, record = next(iter(study.ledger.records.items()))
    study.ledger.records[identity] = replace(record, start_s=1.0)
    [line] = disagreements(study)
    assert line.startswith(f"trial {identity} began on 1970-01-01 00:00 UTC, before the record")


def test_a_report_keeps_the_newest_record_with_the_ledger_of_all(study: MadeStudy) -> None:
    study.launch(with_claims(FASTER))
    history = study.history()
    files = report_files(history)
    assert files.keys() == {*launch_files(history.records[-1]), ".prereg/ledger.jsonl"}
    assert files["record.json"] == history.records[-1].to_json()
    assert report_files(replace(history, records=[])) == {}
