"""Messages about a dataset with broken images, and how these are left out."""

from pathlib import Path

import pytest
from PIL import Image

import run_study
from tests.command_line import write_study


def test_broken_images_stop_a_plan_unless_they_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        for number in range(10):
            path = tmp_path / "images" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    (tmp_path / "images/b/torn.png").write_bytes(b"torn")
    base = f"dataset='folder:{tmp_path}/images', resolution=8, steps=1, batch_size=2"
    file = write_study(tmp_path / "mine.py", base=base, scientific={"optimizer.lr": (0.1,)})

    def plan(*options: str) -> tuple[int, str]:
        folders = ["--store", str(tmp_path / "mlruns"), "--cache-dir", str(tmp_path / "cache")]
        monkeypatch.setattr("sys.argv", ["run_study.py", "plan", file, *options, *folders])
        with pytest.raises(SystemExit) as ended:
            run_study.main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out + printed.err

    code, printed = plan()
    assert (code, "has 1 broken images: " in printed, "with --skip-broken" in printed) == (2, True, True)
    code, printed = plan("--skip-broken")
    assert code == 0
    assert "is without 1 broken images: " in printed
