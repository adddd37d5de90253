"""Reasons why a recorded trial is stale."""

from dataclasses import replace

from revit.config import FineTuneConfig
from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX
from study.ledger.states import TrialState
from study.staleness import staleness_reason

BASE = FineTuneConfig(dataset="digits", resolution=8, steps=5)
DIGESTS = {"data": "d1", "weights": "w1", "training_version": "2"}


def record_with(config: FineTuneConfig, digests: dict[str, str]) -> TrialRecord:
    return TrialRecord(
        run_id="r",
        identity="i",
        state=TrialState.FINISHED,
        last_step=5,
        metrics={},
        params={name: str(value) for name, value in config.flat().items()},
        tags={f"{DIGEST_PREFIX}{name}": digest for name, digest in digests.items()},
    )


def test_what_was_recorded_the_same_is_not_a_reason() -> None:
    assert staleness_reason(record_with(BASE, DIGESTS), BASE, DIGESTS) == ""


def test_each_changed_field_is_named_with_its_former_value_then_each_changed_digest() -> None:
    before = BASE.with_values({"optimizer.lr": 0.5, "batch_size": 7})
    reason = staleness_reason(record_with(before, {**DIGESTS, "data": "d0"}), BASE, DIGESTS)
    assert reason == "optimizer.lr was 0.5, batch_size was 7, data changed"


def test_a_changed_function_is_named() -> None:
    config = BASE.with_values({"loss": "my_study:focal"})
    record = record_with(config, {**DIGESTS, "loss my_study:focal": "f1"})
    assert staleness_reason(record, config, {**DIGESTS, "loss my_study:focal": "f1"}) == ""
    changed = staleness_reason(record, config, {**DIGESTS, "loss my_study:focal": "f2"})
    assert changed == "loss my_study:focal changed"
    other = config.with_values({"loss": "my_study:other"})
    assert staleness_reason(record, other, {**DIGESTS, "loss my_study:other": "f1"}) == "loss was my_study:focal"


def test_what_only_one_side_has_is_named() -> None:
    record = record_with(BASE, {"data": "d1"})
    before = {name: value for name, value in record.params.items() if name != "mixup"}
    record = replace(record, params={**before, "old": "3"})
    assert staleness_reason(record, BASE.with_values({"mixup": 0.5}), DIGESTS) == (
        "mixup is 0.5, and was not a field, old was 3, and is no longer a field, "
        "weights changed, training_version changed"
    )
    assert staleness_reason(replace(record, params=before), BASE, {"data": "d1"}) == "", "a new field that is neutral"
