"""One training step of the paper's models at full size, on a CPU."""

import math

import pytest
import torch

from revit.config import FineTuneConfig
from revit.datasets.batches import Batch
from revit.models.build import build_model
from revit.training.fine_tune import train_step
from revit.training.optimizers import build_optimizer

NUM_CLASSES = 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pos_embed", "resolution"),
    [
        ("vit_b16_in21k", "learned", 224),
        ("vit_b16_in21k", "none", 64),
        ("bit_r50x1_in21k", "learned", 224),
        pytest.param("vit_b16_in21k", "learned", 64, marks=pytest.mark.long),
        pytest.param("vit_b16_in21k", "none", 224, marks=pytest.mark.long),
        pytest.param("bit_r50x1_in21k", "learned", 64, marks=pytest.mark.long),
    ],
)
def test_a_step_updates_every_trainable_parameter(name: str, pos_embed: str, resolution: int) -> None:
    config = FineTuneConfig(dataset="digits", steps=1, resolution=resolution).with_values(
        {
            "model.name": name,
            "model.pos_embed": pos_embed,
            "model.head_init": "trunc_normal",  # a zero head passes no gradient to the backbone
            "optimizer.lr": 0.1,
            "batch_size": 2,
        }
    )
    model = build_model(config, NUM_CLASSES, weights=None)
    if pos_embed == "none":
        assert not model.pos_embed.requires_grad
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    batch = Batch(torch.randint(0, 256, (2, 3, resolution, resolution), dtype=torch.uint8), torch.tensor([3, 42]))
    model.train()
    optimizer = build_optimizer(model, config.optimizer)
    loss, grad_norm = train_step(model, optimizer, batch, config.optimizer.lr, config, torch.device("cpu"))
    assert loss.item() == pytest.approx(math.log(NUM_CLASSES), rel=0.25)
    assert math.isfinite(grad_norm)
    stayed = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    assert stayed == ({"pos_embed"} if pos_embed == "none" else set())
    assert all(parameter.isfinite().all() for parameter in model.parameters())
