from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from revit.budget import compile_budget
from revit.config import FineTuneConfig, ModelConfig
from revit.datasets.image_store import ImageStore
from revit.models.cost import forward_gflops
from revit.training import head_probe
from revit.training.head_probe import LinearHead
from revit.training.trial_flops import ImageFlops, TrialSizes, image_flops, trial_flops


class Unmeasurable(nn.Module):
    """A model that cannot run without data: how it goes on depends on the images."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images * images.sum().item()


def unmeasurable(num_classes: int, resolution: int) -> nn.Module:
    model = Unmeasurable()
    for name in ("get_classifier", "forward_features", "forward_head"):
        setattr(model, name, model.forward)
    return model


def flops_of(name: str, resolution: int, **options: Any) -> ImageFlops:
    model = ModelConfig(name=name, pretrained=False, **options)
    return image_flops(
        FineTuneConfig(dataset="digits", steps=1, resolution=resolution, normalization="inception", model=model)
    )


def test_a_training_step_of_a_vit_b16_has_as_many_flops_as_traced() -> None:
    flops = flops_of("vit_b16_in21k", 224)
    assert flops.step == pytest.approx(105.15e9, rel=1e-4)
    assert flops.forward == pytest.approx(1e9 * forward_gflops("vit_b16_in21k", 224))


def test_what_is_not_trained_has_no_backward_pass() -> None:
    full, head = flops_of("vit_nano", 28), flops_of("vit_nano", 28, trained="head")
    assert full.forward == head.forward
    assert head.step < 1.001 * head.forward
    assert 2.9 * full.forward < full.step < 3 * full.forward, "the first layer needs no gradient of its input"
    biases = flops_of("vit_nano", 28, trained="biases")
    assert 2 * full.forward < biases.step < 2.2 * full.forward, "gradients of activations, not of weights"
    adapted = flops_of("vit_nano", 28, adapter="lora", adapter_rank=1)
    assert adapted.forward > full.forward
    assert adapted.step < full.step


def test_options_that_change_no_product_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = flops_of("vit_nano", 20)
    monkeypatch.setattr("revit.training.trial_flops.count_flops", None)
    assert flops_of("vit_nano", 20, dropout=0.1, pos_embed="none", head_init="torch") == expected


def test_a_function_that_cannot_be_counted_counts_by_its_pixels() -> None:
    name = f"{__name__}:unmeasurable"
    small, large = flops_of(name, 112), flops_of(name, 224)
    assert large.step == 4 * small.step == pytest.approx(105e9, rel=0.01)


@pytest.mark.parametrize("head_init", ["zeros", "probed"])
def test_the_flops_of_a_trial_are_those_that_it_has(
    train: Any, digits: ImageStore, head_init: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Convolutions are counted on a CPU, too. The description of the build runs two images; no probe is fitted."""
    unfitted = LinearHead(torch.zeros(10, 256), torch.zeros(10))
    monkeypatch.setattr(head_probe, "fit_linear_head", lambda *_: unfitted)
    options = {"steps": 3, "batch_size": 64, "micro_batch": 33, "num_evals": 2, "data_fraction": 0.3}
    model = ModelConfig(name="bit_nano", head_init=head_init)
    config = FineTuneConfig(dataset="digits", resolution=8, test_curve=True, model=model, **options)
    splits = digits.split(config.val_fraction, config.data_fraction, config.subset_seed)
    sizes = TrialSizes(len(splits.train), splits.num_all, len(splits.val), len(splits.test))
    with FlopCounterMode(display=False) as counter:
        train(config)
    of_image = image_flops(config)
    assert sum(trial_flops(config, sizes, of_image)) == counter.get_total_flops() - 2 * of_image.forward


def test_a_smaller_last_batch_counts_as_it_is() -> None:
    config = FineTuneConfig(dataset="digits", resolution=8, epochs=2, batch_size=16, val_fraction=0.0)
    sizes = TrialSizes(num_used=17, num_all=17, num_val=0, num_test=5)
    assert compile_budget(config, 17, 17).num_steps == 4
    assert trial_flops(config, sizes, ImageFlops(step=3.0, forward=1.0)) == (3 * 34, 5)
    further = sizes._replace(num_further=1000)
    assert trial_flops(config, further, ImageFlops(step=3.0, forward=1.0)) == (3 * 34, 1005)
    probed = config.with_values({"model.head_init": "probed"})
    assert trial_flops(probed, sizes, ImageFlops(step=3.0, forward=1.0)) == (3 * 34, 17 + 5)
