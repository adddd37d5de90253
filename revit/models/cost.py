"""What the models cost: parameters and floating-point operations, counted on models that take no memory.

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

What `python run_study.py models` lists, with what each costs. Made by `python -m revit.models.cost > docs/models.md`.

Parameters are those with a {NUM_CLASSES}-class head at the model's own resolution. GFLOPs are those of one forward pass
of one image: a multiplication and an addition are two operations, so they are twice the GMACs that timm's tables give.
Matrix products and convolutions are counted, as PyTorch's FlopCounterMode does; a training step takes about three times
as many. Any other timm classification model goes by its timm name, and sees pixels by the mean and standard deviation
that timm states of it.
"""


def num_params(name: str, resolution: int) -> int:
    """Parameters with a head for NUM_CLASSES."""
    return sum(parameter.numel() for parameter in empty_model(_config(name, resolution), NUM_CLASSES).parameters())


def forward_gflops(name: str, resolution: int) -> float:
    """Billions of floating-point operations of one forward pass of one image, R x R pixels."""
    model = empty_model(_config(name, resolution), NUM_CLASSES).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, resolution, resolution, device="meta"))
    return float(counter.get_total_flops()) / 1e9


def models_page() -> str:
    """The page, in Markdown."""
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
    model = ModelConfig(name=name, pretrained=MODELS[name].pretrained)
    return FineTuneConfig(dataset="digits", steps=1, resolution=resolution, model=model)


if __name__ == "__main__":
    print(models_page())
