"""The command that predicts image files."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from revit.datasets.batches import to_input
from revit.datasets.crops import resize_images
from study.export.exported_program import describe_model, export_program, write_program
from tests.command_line import ROOT, call_here
from tests.study.export.untrained import CLASS_NAMES, untrained_model

MODEL = untrained_model(8)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    write_program(export_program(MODEL), describe_model(MODEL), folder / "model.pt2")
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images of noise, one in a folder of its own, one with a name that is not text."""
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate((b"a, b.png", b"more/c.png", b"\xff.png")):
        pixels = np.random.default_rng(number).integers(256, size=(20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name.decode(errors="surrogateescape"))
    return folder


def expected_rows(images: Path) -> list[tuple[str, str, float]]:
    """Return a row per image, computed one by one."""
    rows = []
    for path in sorted(images.rglob("*.png")):
        pixels = resize_images([np.asarray(Image.open(path))], np.array([[20, 30]]), MODEL.resolution)
        with torch.inference_mode():
            logits = MODEL.network(to_input(pixels, MODEL.normalization, torch.device("cpu")))
        probability, label = logits.softmax(dim=1)[0].max(dim=0)
        rows.append((str(path), CLASS_NAMES[label], round(probability.item(), 6)))
    return rows


def read_rows(path: Path) -> list[tuple[str, str, float]]:
    with path.open(newline="", errors="surrogateescape") as file:
        header, *rows = csv.reader(file)
    assert header == ["file", "class", "probability"]
    return [(name, label, float(probability)) for name, label, probability in rows]


def test_a_file_has_a_row_for_each_image(exported: Path, images: Path, tmp_path: Path) -> None:
    done = call_here("predict", str(exported), str(images), "--to", str(tmp_path / "predictions.csv"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {tmp_path}/predictions.csv: 3 images\n"
    assert read_rows(tmp_path / "predictions.csv") == [
        (file, label, pytest.approx(probability, abs=2e-6)) for file, label, probability in expected_rows(images)
    ]


def test_standard_output_has_the_table_alone_and_broken_images_are_listed_on_the_other(
    exported: Path, images: Path
) -> None:
    broken = images / "more" / "broken.jpg"
    broken.write_bytes(b"no image")
    done = call_here("predict", str(exported), str(images), str(images / "a, b.png"))
    assert done.returncode == 1
    header, *rows = csv.reader(done.stdout.splitlines())
    assert (header, len(rows)) == (["file", "class", "probability"], 3)
    first, last = done.stderr.splitlines()
    assert first.startswith(f"the image {broken} cannot be decoded: its format is not one of JPEG, PNG")
    assert last == "3 of 4 images predicted; 1 cannot be decoded"


def test_wrong_input_is_one_line_and_nothing_is_written(
    exported: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    target = ["--to", str(tmp_path / "predictions.csv")]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for arguments, line in {
        (str(exported), str(tmp_path / "empty")): f"{tmp_path}/empty has no images: must have files .bmp, ",
        (str(exported), str(tmp_path / "gone")): f"{tmp_path}/gone: there is no such file or folder",
        (str(tmp_path), str(images)): f"{tmp_path} is not an exported model: it has no model.pt2",
        (str(exported), str(images), "--device", "tpu"): "device = tpu: must be cpu or cuda",
        (str(exported), str(images), "--device", "cuda"): "device = cuda: PyTorch finds no GPU on this machine",
    }.items():
        done = call_here("predict", *arguments, *target)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr.startswith(f"error: {line}"), done.stderr
        assert done.stderr.count("\n") == 1
    done = call_here("predict", str(exported), str(images), "--to", str(tmp_path / "no folder" / "predictions.csv"))
    right = f"error: --to = {tmp_path}/no folder/predictions.csv: cannot be written: No such file or directory\n"
    assert (done.returncode, done.stderr) == (2, right)
    assert not list(tmp_path.glob("predictions.csv*"))


def test_neither_ray_nor_mlflow_nor_timm_is_loaded(exported: Path, images: Path) -> None:
    program = (
        "import sys, run_study\n"
        f"sys.argv[1:] = ['predict', {str(exported)!r}, {str(images)!r}]\n"
        "try:\n    run_study.main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'ray', 'mlflow', 'timm', 'pandas', 'transformers'} & sys.modules.keys(), 'too much is loaded'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
