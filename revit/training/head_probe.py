"""Linear probe: heads that are fitted to the features of a model before its first step.

LP-FT (Kumar et al. 2022, arXiv:2202.10054) fine-tunes from such a head: the gradients of a head that does not fit yet
would distort the features. The probe is a convex problem. It is solved to its optimum, instead of trained for a number
of steps at a learning rate of its own.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from revit.config import FineTuneConfig
from revit.datasets.batch_parts import evaluated_part
from revit.datasets.batches import eval_batches, to_input
from revit.models.heads import heads, recorded_features
from revit.models.normalization import normalization_of
from revit.training.evaluation import compute_logits
from revit.training.worker_group import WorkerGroup

if TYPE_CHECKING:
    from revit.training.fine_tune import TrialData

MAX_ITERATIONS = 1000
MAX_GRADIENT = 1e-7
"""Largest component of the gradient, in nats, at which a fit ends; PyTorch's default."""
MIN_RELATIVE_STD = 1e-6
"""Standard deviation of a feature, relative to its largest value, below which it is constant up to rounding."""


class LinearHead(NamedTuple):
    """Weight (K, D) and bias (K,) of a linear head."""

    weight: Tensor
    bias: Tensor


def probe_heads(
    model: nn.Module, config: FineTuneConfig, data: "TrialData", device: torch.device, group: WorkerGroup
) -> None:
    """Fit each head of a model to the features of the training images, which are prepared as for an evaluation.

    Nothing is drawn at random. Workers share the forward passes, and worker 0 fits. Leaves the model in training mode.
    """
    size, train = config.micro_batch or config.batch_size, data.splits.train
    own = evaluated_part(train, size, group)
    batches = eval_batches(data.store, own, config.resolution, size, data.num_threads, pin=device.type == "cuda")
    normalization = normalization_of(config)
    model.eval()
    with torch.inference_mode(), recorded_features(model) as recorded:
        for batch in batches:
            compute_logits(model, to_input(batch.images, normalization, device), device)
    model.train()
    parts = group.exchange([[each.cpu() for each in of_head] for of_head in recorded])

    def fit() -> list[LinearHead]:
        labels = torch.from_numpy(data.store.labels[train]).to(device)
        num_classes = len(data.store.manifest.class_names)
        features = (torch.cat([each for part in of_head for each in part]) for of_head in zip(*parts, strict=True))
        return [fit_linear_head(each.to(device), labels, num_classes) for each in features]

    for head, fitted in zip(heads(model), group.ask_first(fit), strict=True):
        with torch.no_grad():
            head.weight.copy_(fitted.weight.view_as(head.weight))
            head.bias.copy_(fitted.bias)


def fit_linear_head(features: Tensor, labels: Tensor, num_classes: int) -> LinearHead:
    """Fit a multinomial logistic regression with an L2 penalty, by L-BFGS in float64.

    Features are standardized, so that the penalty does not depend on their units: the mean loss has half the squared
    norm of the weights added to it, divided by the number of images, as in scikit-learn's
    `make_pipeline(StandardScaler(), LogisticRegression(C=1))`. A constant feature has the weight 0. The head that is
    returned reads the features as they are.

    Args:
        features: (n, D).
        labels: (n,), from 0 to `num_classes` - 1.
    """
    features = features.double()
    mean, std = features.mean(dim=0), features.std(dim=0, correction=0)
    scale = std.where(std > MIN_RELATIVE_STD * features.abs().amax(dim=0), torch.inf)
    standardized = (features - mean) / scale
    weight = features.new_zeros(num_classes, features.shape[1], requires_grad=True)
    bias = features.new_zeros(num_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=MAX_ITERATIONS,
        tolerance_grad=MAX_GRADIENT,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def penalized_loss() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(standardized, weight, bias), labels)
        loss = loss + weight.square().sum() / (2 * len(labels))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss

    optimizer.step(penalized_loss)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    weight, bias = weight.detach() / scale, bias.detach()
    return LinearHead(weight, bias - weight @ mean)
