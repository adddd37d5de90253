"""The command that merges stores: shows, then does; names what differs."""

import re
from pathlib import Path

import pytest

from study.ledger.ledger import Ledger
from study.ledger.locks import Locks
from tests.command_line import call_here
from tests.study.ledger.merged_stores import content, write_trial


@pytest.fixture
def other(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "other")
    write_trial(ledger, "a", tags={"study.example": "yes"})
    return ledger


def call(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    done = call_here("merge", str(tmp_path / "other"), "--store", str(tmp_path / "mlruns"), *arguments)
    return done.returncode, done.stdout + done.stderr


def test_it_takes_only_with_yes_and_changes_nothing_in_the_other_store(tmp_path: Path, other: Ledger) -> None:
    before = content(other.root)
    code, shown = call(tmp_path)
    assert code == 0
    assert f"other: {other.root}\n" in shown
    assert "      1  to take (3 bytes): 1 of example\n" in shown
    assert re.search(r"take it with\n  .*run_study.py merge \S+other --store \S+mlruns --yes\n$", shown)
    assert not (tmp_path / "mlruns").exists()
    code, shown = call(tmp_path, "--yes")
    assert (code, shown.splitlines()[-1]) == (0, "taken: 1 trials")
    assert Ledger(tmp_path / "mlruns").trials().keys() == {"a"}
    code, shown = call(tmp_path, "--yes")
    assert (code, shown.splitlines()[2:]) == (0, ["      1  in both, with equal results", "nothing to take"])
    assert content(other.root) == before
    [of_merge] = [each for each in Ledger(tmp_path / "mlruns").launches.infos().values() if "command" in each.tags]
    assert " --yes " in of_merge.tags["command"]


def test_what_differs_is_a_table_with_both_values_and_devices(tmp_path: Path, other: Ledger) -> None:
    here = Ledger(tmp_path / "mlruns")
    tags = {"study.example": "yes", "point.example": "lr=0.1", "seed": "4", "device": "h100", "torch": "2.9"}
    write_trial(here, "a", metrics={"test_accuracy": 0.75}, tags=tags)
    for arguments in ([], ["--yes"]):
        code, shown = call(tmp_path, *arguments)
        assert code == 1
        for text in ("Trials that differ", "a ", "lr=0.1", "test_accuracy", "0.75", "0.5", "device h100, "):
            assert text in shown
        assert "1  in both, with different results: not taken" in shown


def test_a_trial_that_a_launch_has_is_left(tmp_path: Path, other: Ledger) -> None:
    here = Ledger(tmp_path / "mlruns")
    locks = Locks(here.root / "locks")
    locks.acquire("a")
    code, shown = call(tmp_path, "--yes")
    assert (code, "1 trials are trained by a launch: repeat the command when it has ended" in shown) == (1, True)
    locks.release("a")


def test_a_wrong_store_is_one_line(tmp_path: Path) -> None:
    code, shown = call(tmp_path)
    assert (code, len(shown.splitlines())) == (2, 2)
    assert f"there is no store at {tmp_path / 'other'}" in shown
