"""study.execution.launch_registration."""

from pathlib import Path

from study.execution.launch_registration import register_plans
from study.ledger.ledger import Ledger
from study.plan import Folders
from study.registration.record import Registration
from tests.study.made_plans import plan_of

TAGS = {"mlflow.user": "me", "mlflow.source.git.commit": "abc", "git_dirty": "false"}


def test_each_launch_cites_the_record_before_it(tmp_path: Path, cache_dir: Path) -> None:
    folders = Folders(store=tmp_path, data=tmp_path, cache=cache_dir)
    ledger = Ledger(tmp_path)
    plan = plan_of(folders)
    digests = []
    for _ in range(2):
        launch = ledger.launches.open("example", plan.space.tags)
        digests.append(register_plans([plan], {"example": launch}, ledger, TAGS, print)["example"])
    stored = ledger.registrations.read(plan.space.tags)
    assert {each.digest for each in stored} == set(digests)
    first, second = (
        Registration.from_json(each.text) for each in sorted(stored, key=lambda each: digests.index(each.digest))
    )
    assert (first.previous, second.previous) == ("", digests[0])
    assert (first.digest, second.digest) == tuple(digests)
    assert first.user == "me"
    assert first.code["commit"] == "abc"
    assert first.design == {}
