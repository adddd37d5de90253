"""Models that write down when they compute."""

from pathlib import Path

import pytest
import torch

from benchmarks.studies import timed_model


def test_each_forward_pass_is_a_line_with_the_number_of_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(timed_model.FOLDER, str(tmp_path))
    models = [timed_model.vit_small(num_classes=2, resolution=8) for _ in range(2)]
    for model in (models[0], models[1], models[0]):
        model(torch.zeros(1, 3, 8, 8))
    [file] = tmp_path.iterdir()
    lines = [line.split() for line in file.read_text().splitlines()]
    numbers = [number for number, _, _ in lines]
    assert numbers[0] == numbers[2] != numbers[1]
    times = [float(each) for _, start, end in lines for each in (start, end)]
    assert times == sorted(times)
