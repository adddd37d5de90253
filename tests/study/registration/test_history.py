"""study.registration.history."""

from dataclasses import replace
from pathlib import Path

import pytest

from study.registration.claim_record import claim_of, claim_records
from tests.study.registration.made_study import SPACE, MadeStudy, with_claims


@pytest.fixture
def study(tmp_path: Path, cache_dir: Path) -> MadeStudy:
    return MadeStudy(tmp_path, cache_dir)


def test_a_trial_is_seen_by_the_records_after_it_only(study: MadeStudy) -> None:
    study.launch(num_finished=3)
    study.launch(num_finished=2)
    history = study.history()
    assert [len(history.seen(number)) for number in range(3)] == [0, 3, 5]


def test_a_trial_that_began_under_a_record_is_not_seen_by_it_whatever_the_clocks_say(study: MadeStudy) -> None:
    study.launch(num_finished=2)
    slow = {name: replace(each, start_s=1.0, end_s=2.0) for name, each in study.ledger.records.items()}
    study.ledger.records = slow
    assert len(study.history().seen(0)) == 0
    stripped = {name: replace(each, tags={**each.tags, "registration": ""}) for name, each in slow.items()}
    study.ledger.records = stripped
    assert len(study.history().seen(0)) == 2


def test_a_resumed_trial_is_seen_if_it_had_a_result_by_then(study: MadeStudy) -> None:
    study.launch(num_finished=0, num_begun=2)
    study.launch()
    history = study.history()
    assert len(history.seen(1)) == 2
    late = dict.fromkeys(study.ledger.first_s, history.records[1].created_s + 1)
    study.ledger.first_s = late
    assert len(study.history().seen(1)) == 0, "they were stopped before their first result"


def test_trials_of_searches_and_of_other_scales_are_not_seen(study: MadeStudy) -> None:
    study.launch()
    record, *_ = study.ledger.records.values()
    for name, tags in {"a": {"phase": "search"}, "b": {"scale": "nano"}}.items():
        study.ledger.records[name] = replace(record, run_id=name, identity=name, tags={**record.tags, **tags})
    assert len(study.history().results) == 8


def test_a_claim_has_the_trials_of_its_cells(study: MadeStudy) -> None:
    history = study.history(seeds=(0, 1, 2))
    claims = [claim_of(each) for each in claim_records(SPACE)]
    assert [len(history.keys_of(each)) for each in claims] == [12, 12, 6]
    assert history.keys_of(None) == frozenset()
    assert len(study.history(with_claims()).points) == 8
