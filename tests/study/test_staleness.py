"""The reason why a trial is stale."""

from revit.config import FineTuneConfig
from study.ledger.records import TrialRecord
from study.ledger.schema import DIGEST_PREFIX
from study.ledger.states import TrialState
from study.staleness import staleness_reason

CONFIG = FineTuneConfig(dataset="digits", steps=5)
DIGESTS = {"data": "d1", "weights": "w1", "training_version": "2"}


def record(config: FineTuneConfig, digests: dict[str, str]) -> TrialRecord:
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
    assert staleness_reason(record(CONFIG, DIGESTS), CONFIG.flat(), DIGESTS) == ""


def test_each_changed_field_is_named_with_its_former_value_then_each_changed_digest() -> None:
    before = CONFIG.with_values({"optimizer.lr": 0.5, "batch_size": 7})
    reason = staleness_reason(record(before, {**DIGESTS, "data": "d0"}), CONFIG.flat(), DIGESTS)
    assert reason == "optimizer.lr was 0.5, batch_size was 7, data changed"


def test_what_only_one_side_has_is_not_compared() -> None:
    assert staleness_reason(record(CONFIG, {"data": "d1"}), {**CONFIG.flat(), "new": 1}, DIGESTS) == ""
