"""A few steps of small models, on whatever there is: it says nothing about speed."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import measure
from benchmarks.ratios import BenchmarkResult


def test_every_comparison_is_made() -> None:
    lines = measure(tiny=True)
    assert [line.against for line in lines][:4] == [
        "bf16 products of large matrices",
        "a loop after timm's train.py, tensors on the GPU",
        "trained on",
        "trained on",
    ]
    assert [line.target for line in lines][:4] == [0.45, 1.0, 1.0, 2.5]
    assert all(math.isfinite(line.ratio) and line.ratio > 0 for line in lines[:4])


def test_a_line_without_a_target_is_neither_met_nor_missed() -> None:
    line = BenchmarkResult(what="a", against="b", ratio=1.0, target=None, at_least=True)
    assert line.met is None
    assert line.cells() == ("a", "b", "1", "", "", "")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said where there is no GPU")
def test_without_a_gpu_it_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    results = tmp_path / "results.md"
    command = [sys.executable, "-m", "benchmarks", "gpu", "--results", str(results)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "gpu needs a GPU, and PyTorch finds none; --tiny runs without one\n"
    assert not results.exists()
