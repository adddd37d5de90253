"""study.ledger.registrations."""

from study.ledger.ledger import Ledger
from study.ledger.records import TrialUpdate
from study.ledger.schema import NUM_STEPS_DONE
from study.ledger.states import TrialState
from tests.study.ledger.trial_runs import NOW, rows

TAGS = {"study": "s", "recipe": "paper", "scale": "nano"}
FILES = {"record.json": '{"question":"Größer?"}', "a.prml.yaml": "a: 1\n"}


def test_a_record_is_read_as_it_was_written(ledger: Ledger) -> None:
    launch = ledger.launches.open("s", TAGS)
    assert ledger.registrations.newest_digest(TAGS) == ""
    for _ in range(2):
        ledger.registrations.write(launch, "1", FILES)
    [stored] = ledger.registrations.read(TAGS)
    assert (stored.launch, stored.digest, stored.text) == (launch, "1", FILES["record.json"])
    assert stored.files == FILES
    assert not stored.deleted
    assert stored.start_s * 1000 == ledger.runs.client.get_run(launch).info.start_time


def test_records_are_those_of_their_own_recipe_and_scale_the_oldest_first(ledger: Ledger) -> None:
    launches = [ledger.launches.open("s", TAGS) for _ in range(3)]
    for number, launch in enumerate(launches[:2]):
        ledger.registrations.write(launch, str(number), FILES)
    other = ledger.launches.open("s", {**TAGS, "scale": "paper"})
    ledger.registrations.write(other, "other", FILES)
    assert {each.launch for each in ledger.registrations.read(TAGS)} == set(launches)
    assert [each.digest for each in ledger.registrations.read({**TAGS, "scale": "paper"})] == ["other"]
    assert ledger.registrations.digests() == {"0", "1", "other"}
    assert ledger.registrations.newest_digest(TAGS) in ("0", "1")


def test_a_record_of_a_deleted_launch_is_still_read(ledger: Ledger) -> None:
    launch = ledger.launches.open("s", TAGS)
    ledger.registrations.write(launch, "1", FILES)
    ledger.runs.delete(launch)
    [stored] = ledger.registrations.read(TAGS)
    assert stored.deleted
    assert stored.files == FILES
    assert ledger.registrations.newest_digest(TAGS) == "1"


def test_a_launch_of_an_earlier_version_has_no_record(ledger: Ledger) -> None:
    ledger.launches.open("s", TAGS)
    [stored] = ledger.registrations.read(TAGS)
    assert (stored.digest, stored.text) == ("", "")


def test_the_first_result_has_the_time_at_which_it_was_measured(ledger: Ledger) -> None:
    launch = ledger.launches.open("s", TAGS)
    run_id = ledger.open_trial("a", None, launch=launch, name="a", tags={}).run_id
    ledger.log(run_id, TrialUpdate(rows=rows({"step": 1, "lr": 0.1})))
    later = [row._replace(at_ms=NOW + 5000) for row in rows({"step": 2, "lr": 0.1})]
    ledger.log(run_id, TrialUpdate(rows=later))
    assert ledger.registrations.first_result_s(run_id, NUM_STEPS_DONE) == NOW / 1000
    assert ledger.registrations.first_result_s(run_id, "test_accuracy") is None


def test_a_trial_keeps_the_record_under_which_it_began(ledger: Ledger) -> None:
    launch = ledger.launches.open("s", TAGS)

    def begin(identity: str, digest: dict[str, str]) -> str:
        tags = {"study.s": "yes", **digest}
        record = ledger.open_trial(identity, ledger.find(identity), launch=launch, name="a", tags=tags)
        ledger.close_trial(record.run_id, TrialState.INTERRUPTED)
        found = ledger.find(identity)
        assert found is not None
        return found.tags.get("registration", "")

    assert begin("a", {"registration": "1"}) == "1"
    assert begin("a", {"registration": "2"}) == "1"
    assert begin("b", {}) == ""
    assert begin("b", {"registration": "2"}) == "", "it may have had results before"
