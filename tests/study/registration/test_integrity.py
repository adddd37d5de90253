"""study.registration.integrity."""

from dataclasses import replace

from study.registration.integrity import date_text, find_faults
from study.registration.record import digest_of
from tests.study.registration.made_study import MadeStudy, with_claims


def faults(study: MadeStudy) -> list[str]:
    return list(find_faults(study.history()))


def test_records_that_nobody_touched_have_no_fault(study: MadeStudy) -> None:
    assert faults(study) == []


def test_each_missing_record_is_one_fault(study: MadeStudy) -> None:
    digest = next(iter(study.ledger.stored.values())).digest
    study.remove_launch()
    [fault] = faults(study)
    assert fault.startswith("a record before that of 1970-01-01 00:")
    assert digest[:12] in fault
    study.remove_launch()
    assert [each.partition(":")[0] for each in faults(study)] == [
        "a record is missing that 3 trials began under",
        "a record is missing that 5 trials began under",
    ]


def test_a_changed_record_is_named_with_both_digests(study: MadeStudy) -> None:
    stored = next(iter(study.ledger.stored.values())).digest
    study.edit_record("Does the", "Does a")
    [fault] = faults(study)
    changed = digest_of(next(iter(study.ledger.stored.values())).text)
    assert changed[:12] in fault
    assert stored[:12] in fault


def test_a_text_that_is_not_a_record_is_named(study: MadeStudy) -> None:
    launch, stored = next(iter(study.ledger.stored.items()))
    study.ledger.stored[launch] = replace(stored, digest=digest_of("{}"), files={"record.json": "{}"})
    assert "cannot be read" in faults(study)[0]


def test_a_trial_of_another_study_may_cite_its_record(study: MadeStudy) -> None:
    other = replace(with_claims(), name="other")
    study.ledger.records = {}
    study.launch(other)
    study.launch()
    assert faults(study) == []
    assert {each.is_own for each in study.history().results} == {False}


def test_a_date_is_universal() -> None:
    assert date_text(1_700_000_000.5) == "2023-11-14 22:13 UTC"
