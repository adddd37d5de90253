"""Commands that train nothing read the trials of the ledger once."""

import sys
from pathlib import Path

import pytest

import search_spaces
from benchmarks.report import write_study
from study.cli.main import main
from study.ledger.ledger import Ledger
from study.plan import Folders

MODULE = """
from revit.config import FineTuneConfig
from search_spaces.framework import BetterThan, SearchSpace

SPACE = SearchSpace(
    name="one_seed",
    question="Does the schedule matter?",
    base=FineTuneConfig(dataset="digits", resolution=8, crop_scale=(0.6, 1.0), hflip=False, steps=5),
    scientific={"schedule.name": ("cosine", "constant")},
    seeds=(0,),
    claims=(BetterThan(better={"schedule.name": "cosine"}, worse={"schedule.name": "constant"}, quote="It does."),),
)
"""
"""A study whose claim needs the variance between seeds of other trials in the ledger."""


@pytest.mark.parametrize("command", ["plan", "report", "run"])
def test_the_trials_of_the_ledger_are_read_once(
    command: str,
    tmp_path: Path,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = Folders(store=tmp_path / "mlruns", data=tmp_path, cache=cache_dir)
    (tmp_path / "one_seed.py").write_text(MODULE)
    space = search_spaces.load(str(tmp_path / "one_seed.py"))
    write_study(space, space.seeds, folders)
    reads = []
    read = Ledger.trials
    monkeypatch.setattr(Ledger, "trials", lambda ledger: reads.append(ledger) or read(ledger))
    monkeypatch.chdir(tmp_path)
    where = ["--store", str(folders.store), "--cache-dir", str(cache_dir)]
    monkeypatch.setattr(sys, "argv", ["run_study.py", command, "one_seed.py", *where])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0, capsys.readouterr().out
    assert len(reads) == 1
