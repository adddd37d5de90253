"""`rehearse` as a user types it."""

import re
from pathlib import Path

import pytest

from study.ledger.ledger import Ledger
from tests.command_line import call_here, where, write_study
from tests.revit.datasets.sample_files import image_file


@pytest.mark.usefixtures("ray_cluster", "one_slot")
def test_a_study_is_tried_on_real_data(tmp_path: Path, cache_dir: Path) -> None:
    base = 'dataset="digits", resolution=8, batch_size=16, steps=100'
    study = write_study(tmp_path / "tried.py", base=base, scientific={"optimizer.name": ("sgd", "adam")}, seeds=(0,))
    store = tmp_path / "mlruns"
    ended = call_here("rehearse", study, "--store", str(store), "--cache-dir", str(cache_dir), "--max-batch", "8")
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert lines[1] == "rehearsing 2 kinds of trials, for 2 trials"
    passed = [line for line in lines if "passed" in line]
    assert [line.split(":")[0] for line in passed] == [
        "1/2  passed  tried optimizer=sgd (1 trials)", "2/2  passed  tried optimizer=adam (1 trials)",
    ]  # fmt: skip
    assert "a step of 8 images" in passed[0]
    kept = Ledger(store).rehearsals.read()
    assert {rehearsal.params["optimizer.name"] for rehearsal in kept} == {"sgd", "adam"}
    assert {rehearsal.params["batch_size"] for rehearsal in kept} == {"8"}


def test_missing_images_are_named(tmp_path: Path) -> None:
    ended = call_here("rehearse", "resolution", *where(tmp_path), "--data-dir", str(tmp_path))
    assert ended.returncode == 1
    assert "missing for resolution: dataset cifar100: " in ended.stdout
    assert "missing for resolution: weights of vit_b16_in21k: " in ended.stdout
    assert f"run_study.py fetch resolution --data-dir {tmp_path}" in ended.stdout


def write_images(folder: Path, *, test: tuple[str, ...] = ("cat", "dog")) -> None:
    """Write 20 training images and a test image of each class, without test images of some."""
    for split, names, count in (("train", ("cat", "dog"), 20), ("test", test, 1)):
        for name in names:
            for number in range(count):
                path = folder / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(image_file("png"))


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("no test image", "train and test have different classes; only one has dog"),
        ("no training image", r"data_fraction = 0\.05: leaves a class empty, as it holds 1 of 24 images for 2 classes"),
        ("broken image", r"has 1 broken images: the image .*/train/cat/3\.png"),
        ("broken weights", r"torn\.npz is not a readable \.npz file of weights: "),
        ("lost weights", r"model\.weights = '.*torn\.npz': there is no such file or folder"),
    ],
)
def test_an_input_that_trials_cannot_use_is_one_line_before_anything_starts(
    tmp_path: Path, wrong: str, line: str
) -> None:
    images, weights = tmp_path / "images", tmp_path / "torn.npz"
    write_images(images, test=("cat",) if wrong == "no test image" else ("cat", "dog"))
    if wrong == "broken image":
        (images / "train" / "cat" / "3.png").write_bytes(b"torn")
    if wrong == "broken weights":
        weights.write_bytes(b"torn")
    model = f"model=ModelConfig(weights={str(weights)!r}), " if "weights" in wrong else ""
    fractions = (0.05,) if wrong == "no training image" else (1.0,)
    base = f'{model}dataset="folder:{images}", resolution=8, steps=9, val_fraction=0.4'
    study = write_study(tmp_path / "tried.py", base=base, scientific={"data_fraction": fractions}, seeds=(0,))
    ended = call_here("rehearse", study, *where(tmp_path))
    assert ended.returncode == 2
    [error, *_] = ended.stderr.splitlines()
    assert re.search(line, error), error
    assert "rehearsing" not in ended.stdout
