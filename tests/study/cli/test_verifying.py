"""The command that verifies a study, on a store that is tampered with."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.report import write_study
from search_spaces.framework.sequential_design import SequentialDesign
from study import api
from study.plan import Folders
from tests.command_line import call_here

STUDY = """
from revit.config import FineTuneConfig
from search_spaces.framework import BetterThan, SearchSpace

SPACE = SearchSpace(
    name="checked",
    question="Is it checked?",
    base=FineTuneConfig(dataset="digits", resolution=8, batch_size=32, steps=5),
    scientific={"resolution": (8, 28)},
    seeds=(0, 1),
    claims=(BetterThan(better={"resolution": 28}, worse={"resolution": 8}, quote=""),),
)
"""


class Checked:
    """A study with a store and a report."""

    def __init__(self, root: Path, cache_dir: Path) -> None:
        self.root = root
        self.path = root / "checked.py"
        self.path.write_text(STUDY)
        self.options = ["--store", str(root / "mlruns"), "--cache-dir", str(cache_dir), "--reports", str(root / "out")]
        space = api.load_study(str(self.path))
        write_study(space, space.seeds, Folders(store=root / "mlruns", data=root, cache=cache_dir))
        assert call_here("report", str(self.path), *self.options).returncode == 0

    def verify(self) -> tuple[int, list[str]]:
        done = call_here("verify", str(self.path), *self.options)
        return done.returncode, done.stdout.splitlines()


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Checked:
    return Checked(tmp_path_factory.mktemp("checked"), cache_dir)


def test_a_study_that_nobody_touched_agrees(checked: Checked) -> None:
    code, lines = checked.verify()
    assert code == 0
    assert "checked: 1 record of launches" in lines[1]
    assert lines[2:] == ["checked: all agrees"]


def test_the_looks_of_a_design_are_replayed(tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.api.commands.find_design", lambda *_: SequentialDesign(looks=(2, 4)))
    checked = Checked(tmp_path, cache_dir)
    assert "inconclusive at 2 seeds, next look at 4" in (tmp_path / "out" / "checked" / "report.json").read_text()
    code, lines = checked.verify()
    assert code == 0, lines


def change_text(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def change_metric(checked: Checked) -> None:
    with sqlite3.connect(checked.root / "mlruns" / "mlflow.db") as database:
        update = "UPDATE latest_metrics SET value = value + 0.1 WHERE key = 'test_accuracy'"
        assert database.execute(update).rowcount == 4


def change_record(checked: Checked) -> None:
    [path] = (checked.root / "mlruns").rglob("record.json")
    change_text(path, "Is it checked?", "Was it checked?")


def change_manifest(checked: Checked) -> None:
    [path] = (checked.root / "mlruns").rglob("*.prml.yaml")
    change_text(path, "threshold: 0.0", "threshold: -1.0")


def change_verdict(checked: Checked) -> None:
    change_text(checked.root / "out" / "checked" / "report.json", '"verdict": "', '"verdict": "not ')


def change_anchor(checked: Checked) -> None:
    change_text(checked.root / "out" / "checked" / "registration" / ".prereg" / "ledger.jsonl", "checked", "Checked")


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (change_manifest, "differs from its record"),
        (change_anchor, "ledger.jsonl differs from the records"),
        (change_verdict, "claim 1: verdict is 'not "),
        (change_record, "was changed: its digest is"),
        (change_metric, "by its predictions"),
    ],
)
def test_what_does_not_agree_is_a_line(checked: Checked, tamper: Callable[[Checked], None], words: str) -> None:
    """Earlier changes stay: each adds lines of its own."""
    _, before = checked.verify()
    assert not any(words in line for line in before)
    tamper(checked)
    code, lines = checked.verify()
    assert code == 1
    assert any(words in line for line in lines), lines
    assert "disagreement" in lines[-1]
