"""Write docs/models.md: parameters, FLOPs, sources of the models.

python -m revit.models.cost > docs/models.md
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from revit.config import FineTuneConfig, ModelConfig
from revit.models.architectures import MODELS, ModelSpec
from revit.models.build import empty_model

RESOLUTIONS = (64, 128, 224, 384, 512)
NUM_CLASSES = 10

HEADER = f"""# Models

The models of the studies, with their cost. Made by `python -m revit.models.cost > docs/models.md`.

Parameters include a {NUM_CLASSES}-class head at the native resolution. GFLOPs are those of one forward pass of one
image. A multiplication and an addition are two operations, so these are twice the GMACs in timm's tables. Matrix
products and convolutions are counted, as in PyTorch's FlopCounterMode. A training step takes about three times as
many. Any other classification model of timm works by its timm name, with the mean and standard deviation that timm
states, and a function of yours by its import path ([trained parts](trained_parts.md)).
"""


def num_params(name: str, resolution: int) -> int:
    """Return the number of parameters with a head for NUM_CLASSES."""
    return sum(parameter.numel() for parameter in empty_model(_config(name, resolution), NUM_CLASSES).parameters())


def forward_gflops(name: str, resolution: int) -> float:
    """Return the GFLOPs of one forward pass of one R x R image."""
    model = empty_model(_config(name, resolution), NUM_CLASSES).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, resolution, resolution, device="meta"))
    return float(counter.get_total_flops()) / 1e9


def models_page() -> str:
    """Return the page, in Markdown."""
    columns = (
        "model",
        "what",
        "source",
        "license",
        "px",
        "parameters",
        *(f"GFLOPs, {side} px" for side in RESOLUTIONS),
    )
    rows = [columns, tuple("---" for _ in columns), *(_row(spec) for spec in MODELS.values())]
    return HEADER + "\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(spec: ModelSpec) -> tuple[str, ...]:
    size = f"{num_params(spec.name, spec.resolution) / 1e6:.2f} M"
    gflops = (f"{float(f'{forward_gflops(spec.name, side):.4g}'):g}" for side in RESOLUTIONS)
    return f"`{spec.name}`", spec.title, spec.source, spec.license, str(spec.resolution), size, *gflops


def _config(name: str, resolution: int) -> FineTuneConfig:
    model = ModelConfig(name=name, pretrained=False)
    return FineTuneConfig(dataset="digits", steps=1, resolution=resolution, model=model)


if __name__ == "__main__":
    print(models_page())
