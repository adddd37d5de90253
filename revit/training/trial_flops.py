"""FLOPs of a trial."""

import sys
from functools import cache
from typing import NamedTuple

from revit.budget import compile_budget, count_images
from revit.config import FineTuneConfig, ModelConfig
from revit.training.known_costs import known_flops

NUM_CLASSES = 10
"""Classes of the head that is counted: the head of any dataset is less than .1 % of a model."""
PIXEL_FLOPS = 2.1e6
"""FLOPs of a training step per pixel, as ViT-B/16 has: for a function of the user that cannot be counted."""


class ImageFlops(NamedTuple):
    """FLOPs of one image.

    Attributes:
        step: of a training step: forward pass, and the backward pass of what is trained.
        forward: of an evaluation.
        convolutions: share of convolutions in `step`: devices are slower at them than at products of matrices.
    """

    step: float
    forward: float
    convolutions: float = 0.0


class TrialFlops(NamedTuple):
    """FLOPs of a trial: of its training steps, and of its evaluations on validation and test images.

    A linear probe evaluates the training images; its fit is not counted.
    """

    training: float
    evaluation: float


class TrialSizes(NamedTuple):
    """Numbers of a trial's images: trained on, of how many these are a fraction, validated on, tested on.

    Attributes:
        num_further: images of its further test sets.
    """

    num_used: int
    num_all: int
    num_val: int
    num_test: int
    num_further: int = 0


def image_flops(config: FineTuneConfig) -> ImageFlops:
    """Return the FLOPs of one image of a config, counted on the meta device: no data, no memory.

    Matrix products, convolutions and attention are counted, as by PyTorch's FlopCounterMode; the update of the weights
    is not. A function of the user whose operations cannot be run on the meta device counts by its pixels.
    """
    return _image_flops(counted_model(config.model), config.resolution)


def is_counted(config: FineTuneConfig) -> bool:
    """Return whether `image_flops` answers without importing torch, which takes seconds."""
    return (
        "torch" in sys.modules or known_flops(flops_config(counted_model(config.model), config.resolution)) is not None
    )


@cache
def counted_model(model: ModelConfig) -> ModelConfig:
    """Return the model without options that change no product, so that it is counted once."""
    return ModelConfig(
        name=model.name,
        pretrained=False,
        attn_out_proj=model.attn_out_proj,
        trained=model.trained,
        frozen=model.frozen,
        adapter=model.adapter,
        adapter_rank=model.adapter_rank,
    )


@cache
def _image_flops(model: ModelConfig, resolution: int) -> ImageFlops:
    config = flops_config(model, resolution)
    try:
        known = known_flops(config)
        return count_flops(config) if known is None else ImageFlops(*known)
    except Exception:  # whatever a function of the user can raise
        step = PIXEL_FLOPS * resolution**2
        return ImageFlops(step=step, forward=step / 3)


def flops_config(model: ModelConfig, resolution: int) -> FineTuneConfig:
    """Return the config that is counted for a model at a resolution."""
    return FineTuneConfig(dataset="digits", steps=1, resolution=resolution, normalization="inception", model=model)


def count_flops(config: FineTuneConfig) -> ImageFlops:
    """Count the FLOPs of an image of a config on the meta device."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from revit.models.build import empty_model

    network = empty_model(config, NUM_CLASSES).train()
    num_images = 2  # BatchNorm needs more than one
    with FlopCounterMode(display=False) as counter:
        logits = network(torch.empty(num_images, 3, config.resolution, config.resolution, device="meta"))
        forward = counter.get_total_flops()
        logits.sum().backward()
    step = counter.get_total_flops()
    by_operator = counter.get_flop_counts()["Global"]
    of_convolutions = sum(count for operator, count in by_operator.items() if "convolution" in str(operator))
    return ImageFlops(step / num_images, forward / num_images, of_convolutions / step)


def trial_flops(config: FineTuneConfig, sizes: TrialSizes, of_image: ImageFlops) -> TrialFlops:
    """Return the FLOPs of a trial."""
    budget = compile_budget(config, sizes.num_used, sizes.num_all)
    num_trained = count_images(sizes.num_used, config.batch_size, budget.num_steps)
    num_evals = len(budget.eval_steps)
    num_validated = sizes.num_val * (num_evals + 1)  # the tested weights once more
    num_tested = sizes.num_test * (num_evals * config.test_curve + config.test)
    num_probed = sizes.num_used * (config.model.head_init == "probed")
    num_evaluated = num_validated + num_tested + sizes.num_further + num_probed
    return TrialFlops(of_image.step * num_trained, of_image.forward * num_evaluated)
