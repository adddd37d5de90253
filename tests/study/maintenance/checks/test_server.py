"""It is checked that a tracking server answers, then its runs."""

from collections.abc import Callable
from pathlib import Path

from study.ledger.ledger import Ledger
from study.ledger.orphans import clean_up
from study.ledger.server_locks import ServerLocks
from study.ledger.states import TrialState
from study.maintenance.checks.server import check_server
from study.plan import Folders
from tests.study.servers import Server


def test_a_healthy_server_is_only_read(server: Server, tmp_path: Path) -> None:
    folders = Folders(store=tmp_path / "here", data=tmp_path, cache=tmp_path, server=server.address)
    answer, launches, *_ = check_server(folders, fix=False)
    assert not folders.store.exists()
    assert answer.level == "ok"
    assert server.address in answer.text
    assert launches.text == "store: 0 running launches: -"


def test_an_orphaned_trial_is_a_warning_until_the_next_launch_ends_it(
    server: Server, tmp_path: Path, launched: Callable[[Ledger], ServerLocks]
) -> None:
    folders = Folders(store=tmp_path / "here", data=tmp_path, cache=tmp_path, server=server.address)
    ledger = Ledger(folders.store, folders.server)
    launch = ledger.launches.open("dead", {})
    orphan = ledger.open_trial("orphan", launch=launch, name="orphan", tags={})
    ledger.launches.close(launch, TrialState.FAILED, {})
    *_, warning = check_server(folders, fix=False)
    assert warning.level == "warn"
    assert orphan.run_id in warning.text
    clean_up(ledger, launched(ledger))
    assert ledger.find("orphan").state == TrialState.INTERRUPTED
