"""Modern backbones of timm see the pixels that they were trained with, and can be trained."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from revit.config import FineTuneConfig, ModelConfig
from revit.datasets.batches import Batch
from revit.models.build import build_model, check_model
from revit.models.normalization import normalization_of
from revit.training.evaluation import evaluate
from revit.training.fine_tune import train_step
from revit.training.optimizers import build_optimizer

CPU = torch.device("cpu")
SHORT = {
    "vit_tiny_patch16_224.augreg_in21k": 224,
    "eva02_tiny_patch14_224.mim_in22k": 224,
    "convnextv2_atto.fcmae": 224,
    "deit3_small_patch16_224.fb_in1k": 224,
}
LONG = {
    "vit_small_patch14_dinov2.lvd142m": 224,
    "vit_small_patch14_reg4_dinov2.lvd142m": 224,
    "vit_small_patch16_dinov3.lvd1689m": 256,
    "vit_small_patch16_224.dino": 224,
    "vit_base_patch16_siglip_224.v2_webli": 224,
    "vit_base_patch32_clip_224.openai": 224,
    "vit_base_patch16_224.mae": 224,
    "beitv2_base_patch16_224.in1k_ft_in22k": 224,
    "hiera_tiny_224.mae": 224,
    "swinv2_tiny_window8_256.ms_in1k": 256,
    "convnext_atto.d2_in1k": 224,
    "vit_pe_core_tiny_patch16_384.fb": 384,
    "mobilenetv4_conv_small.e2400_r224_in1k": 224,
    "resnet50.a1_in1k": 224,
}
"""Resolution of each model, in pixels."""
CASES = [*SHORT.items(), *(pytest.param(*each, marks=pytest.mark.long) for each in LONG.items())]


@pytest.mark.parametrize(("name", "resolution"), CASES)
def test_a_backbone_gives_the_logits_of_timms_own_pipeline(name: str, resolution: int) -> None:
    config = FineTuneConfig(
        dataset="digits",
        resolution=resolution,
        steps=1,
        model=ModelConfig(name=name, pretrained=False, head_init="trunc_normal"),
    )
    check_model(config, None)
    model = build_model(config, 10, None)
    pixels = np.random.default_rng(0).integers(0, 256, (2, resolution, resolution, 3), dtype=np.uint8)
    oracle = timm_logits(name, model, pixels)

    batch = Batch(torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.tensor([3, 4]))
    result = evaluate(model, [batch], np.arange(2), normalization_of(config), CPU).predictions
    loss = torch.nn.functional.cross_entropy(oracle, batch.labels, reduction="none")
    assert result.loss == pytest.approx(loss.numpy(), abs=1e-4)
    assert result.confidence == pytest.approx(oracle.softmax(1).amax(1).numpy(), abs=1e-4)

    before = [parameter.detach().clone() for parameter in model.parameters()]
    mean_loss, _ = train_step(model, build_optimizer(model, config.optimizer), batch, 0.01, config, CPU)
    assert torch.isfinite(mean_loss)
    assert any(not torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


def timm_logits(name: str, model: torch.nn.Module, pixels: np.ndarray) -> torch.Tensor:
    """Return the logits (n, 10) of timm's model with the same weights on images (n, R, R, 3), in timm's pipeline."""
    resolution = pixels.shape[1]
    sized = {"img_size": resolution} if "dinov2" in name else {}
    same = timm.create_model(name, num_classes=10, **sized).eval()
    same.load_state_dict(model.state_dict())
    settings = resolve_model_data_config(same) | {"crop_pct": 1.0, "input_size": (3, resolution, resolution)}
    transform = create_transform(**settings, is_training=False)
    with torch.inference_mode():
        logits: torch.Tensor = same(torch.stack([transform(Image.fromarray(each)) for each in pixels]))
    return logits
