"""study.ledger.launches."""

from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import pytest

from study.layout import REGISTRATION
from study.ledger.ledger import Ledger
from study.ledger.states import TrialState
from tests.study.servers import Proxy


def test_a_report_is_kept_with_the_newest_launch_of_its_own_recipe_and_scale(ledger: Ledger, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("")
    own = {"study": "s", "recipe": "paper", "scale": "paper"}
    older, newest = ledger.launches.open("s", own), ledger.launches.open("s", own)
    others = [ledger.launches.open("s", {**own, name: "other"}) for name in ("recipe", "scale")]
    ledger.launches.attach(own, [report], "report")
    kept = [path.parent for path in (ledger.root / "artifacts").rglob("report.html")]
    assert kept == [ledger.root / "artifacts" / newest / "artifacts" / "report"]
    assert not {older, *others} & set(kept[0].parts)


def test_the_decision_rule_is_that_of_the_first_launch_that_names_one(ledger: Ledger) -> None:
    own = {"study": "ruled", "recipe": "paper", "scale": "paper"}
    ledger.launches.open("ruled", own)
    assert ledger.launches.decision_rule(own) == ("", {})
    ledger.launches.open("ruled", {**own, "scale": "nano", "decision.looks": "2 3"})
    first = ledger.launches.open("ruled", {**own, "decision.looks": "3 4", "decision.spending function": "power"})
    ledger.launches.open("ruled", {**own, "decision.looks": "3 1000"})
    assert ledger.launches.decision_rule(own) == (first, {"looks": "3 4", "spending function": "power"})
    assert ledger.registrations.text_of(first) == ""
    ledger.registrations.write(first, "digest", {REGISTRATION: "text"})
    assert ledger.registrations.text_of(first) == "text"


@pytest.mark.slow
def test_a_lock_that_a_proxy_releases_twice_is_released(proxied: Callable[..., Proxy], tmp_path: Path) -> None:
    proxy = proxied(runs_delete_tag=repeat("twice"))
    ledger = Ledger(tmp_path, proxy.address)
    launch = ledger.launches.open("twice", {})
    ledger.launches.lock(launch, "trial")
    ledger.launches.unlock(launch, "trial")
    assert proxy.done["twice"] == 1
    assert ledger.launches.lock_holders("trial") == []
    ledger.launches.close(launch, TrialState.FINISHED, {})
