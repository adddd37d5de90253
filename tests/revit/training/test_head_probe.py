"""The linear probe against scikit-learn's logistic regression."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from revit.config import FineTuneConfig
from revit.datasets.batches import eval_batches, to_input
from revit.datasets.image_store import ImageStore
from revit.errors import InputError
from revit.models.build import build_model, check_model
from revit.models.heads import heads
from revit.models.normalization import normalization_of
from revit.models.weights import find_weights
from revit.training.fine_tune import TrialData
from revit.training.head_probe import fit_linear_head, probe_heads
from revit.training.worker_group import ALONE

CPU = torch.device("cpu")
PROBED = {"model.head_init": "probed"}
STILL = {**PROBED, "optimizer.lr": 1e-30}
"""A trial that tests its probe: its weights move by less than they are rounded."""


def logistic_regression(strength: float = 1.0) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=1e-9, max_iter=10_000))


@pytest.mark.parametrize(("num_classes", "strength"), [(10, 1.0), (3, 1.0), (2, 2.0)])
def test_the_fit_is_that_of_scikit_learn(num_classes: int, strength: float) -> None:
    """With two classes, scikit-learn penalizes the difference of their weights, half as much as both."""
    features, labels = load_digits(n_class=num_classes, return_X_y=True)
    features = 1000 + 30 * features
    theirs = logistic_regression(strength).fit(features, labels)
    ours = fit_linear_head(torch.tensor(features), torch.tensor(labels), num_classes)
    found = (torch.tensor(features) @ ours.weight.T + ours.bias).softmax(dim=1)
    np.testing.assert_allclose(found, theirs.predict_proba(features), atol=5e-5)


def test_constant_features_have_no_weight() -> None:
    """Up to their rounding: three values of float32 that differ in the last bit."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    informative = torch.randn(60, 2, generator=generator) + labels[:, None]
    nearly = torch.tensor([0.1, 0.1, np.nextafter(np.float32(0.1), np.float32(1))]).repeat(20)
    constant = torch.stack([torch.zeros(60), torch.full((60,), 7.3), nearly], dim=1)
    alone = fit_linear_head(informative, labels, 3)
    found = fit_linear_head(torch.cat([informative, constant], dim=1), labels, 3)
    assert not found.weight[:, 2:].any()
    torch.testing.assert_close(found.weight[:, :2], alone.weight, rtol=1e-4, atol=1e-6)
    nothing = fit_linear_head(constant, torch.tensor([0, 0, 1]).repeat(20), 2)
    np.testing.assert_allclose(nothing.bias.softmax(dim=0), [2 / 3, 1 / 3], atol=1e-6)


def features_of(config: FineTuneConfig, store: ImageStore, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features before the head as timm names them, and labels."""
    model: Any = build_model(config, len(store.manifest.class_names), find_weights(config.model)).eval()
    (batch,) = eval_batches(store, indices, config.resolution, len(indices))
    with torch.inference_mode():
        images = to_input(batch.images, normalization_of(config), CPU)
        features = model.forward_head(model.forward_features(images), pre_logits=True)
    return features.numpy(), batch.labels.numpy()


@pytest.mark.parametrize("name", ["vit_nano", "bit_nano"])
def test_a_trial_begins_at_the_probe(small: FineTuneConfig, digits: ImageStore, train: Callable, name: str) -> None:
    """The head of a ViT is a linear layer, that of a BiT a convolution."""
    config = small.with_values({**STILL, "model.name": name, "resolution": 28, "data_fraction": 0.1, "steps": 1})
    result, _ = train(config)
    splits = digits.split(config.val_fraction, config.data_fraction, config.subset_seed)
    probe = logistic_regression().fit(*features_of(config, digits, splits.train))
    tested, labels = features_of(config, digits, splits.test)
    probabilities = probe.predict_proba(tested)
    assert result.metrics["test_accuracy"] == probe.score(tested, labels)
    np.testing.assert_allclose(result.predictions.confidence, probabilities.max(axis=1), atol=5e-3)
    losses = -np.log(probabilities[np.arange(len(labels)), labels])
    assert result.metrics["test_loss"] == pytest.approx(losses.mean(), rel=1e-3)


def test_the_first_training_loss_is_that_of_the_probe(
    small: FineTuneConfig, digits: ImageStore, train: Callable
) -> None:
    """With all images in the first batch, as the probe has seen them."""
    splits = digits.split(small.val_fraction, 0.1, 0)
    config = small.with_values(
        {**PROBED, "train_crop": "none", "data_fraction": 0.1, "batch_size": len(splits.train), "steps": 1}
    )
    _, seen = train(config)
    features, labels = features_of(config, digits, splits.train)
    probabilities = logistic_regression().fit(features, labels).predict_proba(features)
    expected = -np.log(probabilities[np.arange(len(labels)), labels]).mean()
    assert seen.curve("train_loss")[0][1] == pytest.approx(expected, rel=1e-3)
    _, from_zeros = train(config.with_values({"model.head_init": "zeros"}))
    assert from_zeros.curve("train_loss")[0][1] == pytest.approx(np.log(10))


def test_lp_ft_without_a_step_is_linear_probing(small: FineTuneConfig, train: Callable) -> None:
    """Whatever is trained after it, and whatever augmentation and dropout it is trained with."""
    base = small.with_values({**STILL, "steps": 1, "data_fraction": 0.1})
    expected, _ = train(base.with_values({"model.trained": "head"}))
    for values in (
        {},
        {"model.dropout": 0.3, "mixup": 0.4},
        {"model.adapter": "lora"},
        {"ema_decay": 0.5},
        {"seed": 5},
    ):
        found, _ = train(base.with_values(values))
        assert (found.predictions.prediction == expected.predictions.prediction).all(), values
        assert found.metrics["test_loss"] == pytest.approx(expected.metrics["test_loss"], rel=1e-5), values


def test_a_distilled_model_has_two_probes(digits: ImageStore) -> None:
    config = FineTuneConfig(dataset="digits", resolution=16, steps=1, data_fraction=0.1, batch_size=64).with_values(
        {**PROBED, "model.name": "deit_tiny_distilled_patch16_224", "model.pretrained": False}
    )
    model: Any = build_model(config, 10, None)
    probe_heads(model, config, TrialData.from_store(config, digits, None), CPU, ALONE)
    assert model.training
    splits = digits.split(config.val_fraction, config.data_fraction, config.subset_seed)
    (batch,) = eval_batches(digits, splits.train, 16, len(splits.train))
    with torch.no_grad():
        tokens = model.eval().forward_features(to_input(batch.images, normalization_of(config), CPU))
    for number, head in enumerate(heads(model)):
        theirs = logistic_regression().fit(tokens[:, number].numpy(), batch.labels.numpy())
        found = head(tokens[:, number]).softmax(dim=1).detach()
        np.testing.assert_allclose(found, theirs.predict_proba(tokens[:, number].numpy()), atol=1e-3)


def of_patches(num_classes: int, resolution: int) -> nn.Module:
    """Build a model of a user that averages over patches after its head."""
    model: Any = VisionTransformer(
        img_size=resolution, num_classes=num_classes, embed_dim=16, depth=1, num_heads=2, patch_size=4
    )
    model.forward_head = lambda features, pre_logits=False: model.head(features).mean(dim=1)
    return model


def test_a_head_that_reads_something_else_than_a_vector_is_refused() -> None:
    config = FineTuneConfig(dataset="digits", resolution=8, steps=1, normalization="inception").with_values(
        {"model.name": f"{__name__}:of_patches", "model.pretrained": False}
    )
    check_model(config, None)
    with pytest.raises(InputError, match=r"^model.head_init = 'probed': must be zeros, .* no vector per image$"):
        check_model(config.with_values(PROBED), None)
