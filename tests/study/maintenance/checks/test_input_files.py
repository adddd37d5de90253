"""Damaged input files are found; abandoned build folders are removed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

import search_spaces
from revit.datasets.image_store import ImageStore
from revit.models import weights
from study.maintenance.checks.input_files import check_datasets, check_weights


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def cache(tmp_path: Path, digits: ImageStore) -> Path:
    shutil.copytree(digits.folder, tmp_path / "cache" / digits.folder.name)
    (tmp_path / "cache" / "sources").mkdir()
    return tmp_path / "cache"


def test_intact_images_are_healthy(cache: Path) -> None:
    (cache / "anything-else").mkdir()
    [result] = check_datasets(cache, fix=True)
    assert result.level == "ok"
    assert "1 datasets" in result.text
    assert result.text.endswith("verified by size")
    assert (cache / "anything-else").exists()
    assert [each.level for each in check_datasets(cache / "none", fix=True)] == ["ok"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # NumPy leaves a torn file open
@pytest.mark.parametrize("name", ["manifest.json", "layout.npz", "pixels.bin"])
@pytest.mark.parametrize("damage", [truncate, Path.unlink])
def test_damaged_images_are_an_error(cache: Path, name: str, damage: Callable[[Path], None]) -> None:
    [folder] = cache.glob("digits-*")
    damage(folder / name)
    [problem] = [each for each in check_datasets(cache, fix=True) if not each.is_healthy]
    assert problem.level == "error"
    assert str(folder) in problem.text


def test_a_build_folder_is_removed_if_no_process_decodes(cache: Path) -> None:
    (cache / "building-old").mkdir()
    (cache / "building-old" / "pixels.bin").write_bytes(b"0" * 1000)
    with FileLock(cache / "sources" / "a.lock"):
        assert all(each.level == "ok" for each in check_datasets(cache, fix=True))
    assert [each.level for each in check_datasets(cache, fix=False)] == ["ok", "fixable"]
    assert [each.level for each in check_datasets(cache, fix=True)] == ["ok", "fixed"]
    assert not list(cache.glob("building-*"))


def test_unreadable_weights_are_an_error_and_missing_ones_only_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv(weights.WEIGHTS_DIR_VARIABLE, str(tmp_path))
    monkeypatch.setattr(weights, "_in_hub_cache", lambda name: None)
    [result] = check_weights()
    assert result.level == "ok"
    assert "1 models present" in result.text
    assert "6 missing, get them with `fetch`: vit_b16_in21k, deit3_small_patch16_224.fb_in1k, " in result.text
    os.mkfifo(tmp_path / "vit_nano.safetensors")
    [problem, summary] = check_weights()
    assert (problem.level, summary.level) == ("error", "ok")
    assert "vit_nano.safetensors is not a regular file" in problem.text


def test_a_study_that_cannot_be_imported_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_written.py").write_text("SPACE = (")
    monkeypatch.setattr(search_spaces, "names", lambda: [str(tmp_path / "half_written.py")])
    [problem] = [each for each in check_weights() if not each.is_healthy]
    assert "half_written.py cannot be read" in problem.text
