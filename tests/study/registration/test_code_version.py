"""study.registration.code_version."""

from pathlib import Path

from revit.source import SOURCE, source_digest
from study.registration.code_version import code_version


def test_a_version_has_commit_and_digests() -> None:
    version = code_version({"mlflow.source.git.commit": "abc", "git_dirty": "true", "user": "me"})
    folder = Path(__file__).parents[3]
    assert version == {
        "commit": "abc",
        "uncommitted changes": "true",
        "training": SOURCE,
        "tests": source_digest(folder / "study" / "analysis"),
        "claim language": source_digest(folder / "search_spaces" / "framework"),
    }


def test_a_changed_file_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    before = source_digest(tmp_path)
    (tmp_path / "a.py").write_text("x = 2")
    assert source_digest(tmp_path) != before
