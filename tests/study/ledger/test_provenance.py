"""study.ledger.provenance."""

import subprocess
from pathlib import Path

from study.ledger.provenance import git_tags, launch_tags
from study.ledger.schema import COMMIT_TAG, USER_TAG


def test_a_launch_says_who_started_it_and_where() -> None:
    tags = launch_tags("run_study.py run quickstart")
    assert tags["command"] == "run_study.py run quickstart"
    assert tags["host"]
    assert tags[USER_TAG]


def test_the_commit_is_gits_and_changed_code_is_told(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        own = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *own, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    assert git_tags(tmp_path) == {}
    git("init", "-q")
    assert git_tags(tmp_path) == {}, "no commit yet"
    (tmp_path / "run_study.py").write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    clean = {COMMIT_TAG: git("rev-parse", "HEAD"), "git_dirty": "false"}
    assert git_tags(tmp_path) == clean
    (tmp_path / "notes.txt").write_text("not code")
    assert git_tags(tmp_path) == clean
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "new.py").write_text("2")
    assert git_tags(tmp_path) == {**clean, "git_dirty": "true"}
    installed = tmp_path / ".venv" / "site-packages"
    installed.mkdir(parents=True)
    assert git_tags(installed) == {}, "another project's commit"


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_tags(tmp_path) == {}
