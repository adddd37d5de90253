"""The memory of trials on a GPU, as far as there is one."""

import torch

from benchmarks.gpu_memory import memory_lines
from revit.config import FineTuneConfig, ModelConfig


def test_each_line_has_a_bound_and_meets_it() -> None:
    """On a CPU nothing synchronizes, and nothing else is measured."""
    config = FineTuneConfig(
        dataset="digits", resolution=8, steps=1, batch_size=4, model=ModelConfig(name="vit_nano", pretrained=False)
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lines = memory_lines(config, device)
    assert len(lines) == (6 if device.type == "cuda" else 1)
    assert [line.what for line in lines if line.met is None] == []
    assert lines[0].ratio == 0
