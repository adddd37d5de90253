"""What the pages in docs/ say is so."""

import re
import sys
from pathlib import Path

import pytest

import run_study
import search_spaces
from search_spaces.recipes import RECIPES
from search_spaces.scales import SCALES
from study.ledger import Ledger

DOCS = Path(__file__).parent.parent / "docs"


def test_the_files_they_point_to_are_there() -> None:
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([\w/.]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_page_of_recipes_has_them_all() -> None:
    page = (DOCS / "recipes.md").read_text()
    [heading] = re.findall(r"^\| \| (.*) \|$", page, flags=re.MULTILINE)
    assert heading.split(" | ") == [f"`{name}`" for name in RECIPES]
    assert all(f"`--scale {name}`" in page for name in SCALES)


def test_the_walk_through_makes_a_study_that_runs(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [module] = re.findall(r"```python\n(.*?)```", (DOCS / "new_study.md").read_text(), flags=re.DOTALL)
    assert len(module.splitlines()) <= 30
    shortened = module.replace('"dataset": "flowers102"', '"dataset": "flowers102", "steps": 16, "resolution": 64')
    (tmp_path / "dropout.py").write_text(shortened)
    monkeypatch.setattr(search_spaces, "__path__", [*search_spaces.__path__, str(tmp_path)])
    folders = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(tmp_path / "cache")]
    monkeypatch.setattr(sys, "argv", ["run_study.py", "run", "dropout", "--scale", "nano", "--seeds", "1", *folders])
    with pytest.raises(SystemExit) as stop:
        run_study.main()
    sys.modules.pop("search_spaces.dropout", None)
    shown = capsys.readouterr().out
    assert stop.value.code == 0, shown
    assert "4 trials, 0 done, 4 to run" in shown
    assert "no evidence on the paper's claims" in shown
    assert "digits stands for flowers102 and flowers102_nelorth" in shown
    trials = Ledger(tmp_path / "mlruns").trials().values()
    assert [trial.outcome for trial in trials] == ["finished"] * 4
