"""`rehearse` as a user types it."""

from pathlib import Path

import pytest

from study.ledger.ledger import Ledger
from tests.command_line import call_here, where, write_study


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
    assert f"run_study.py fetch resolution --data-dir {tmp_path}" in ended.stdout
