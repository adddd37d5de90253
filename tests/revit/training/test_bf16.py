"""Trials under autocast to bf16, without a GPU.

A CPU takes whole trials through the product's own autocast. Which operators run in which type is seen on fake tensors
of a GPU: they have no content, and go through PyTorch's own autocast for CUDA.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from revit.config import FineTuneConfig
from revit.datasets.batches import Batch
from revit.models.build import empty_model
from revit.training.batch_loss import summed_loss
from revit.training.evaluation import compute_logits
from revit.training.fine_tune import train_step
from revit.training.memory_estimate import _Bf16
from revit.training.optimizers import build_optimizer

GPU = torch.device("cuda")
aten = torch.ops.aten
PRODUCTS = {aten.addmm, aten.convolution}
IN_FLOAT32 = {aten.native_layer_norm, aten.native_group_norm, aten._safe_softmax, aten._log_softmax}
"""Norms, softmax of attention and of the loss: PyTorch's table of CUDA ops that autocast to float32 has them
(docs.pytorch.org/docs/stable/amp.html). Fused kernels of attention keep its softmax in float32 themselves."""
BATCH_NORM = aten.native_batch_norm
"""An operator that is in no table: it takes images of either type, and returns them with its statistics."""
NETWORKS: dict[str, tuple[int, set[Any]]] = {
    "vit_nano": (28, {aten.native_layer_norm, aten._safe_softmax}),
    "bit_nano": (28, {aten.native_group_norm, BATCH_NORM}),  # the latter standardizes its weights
    "test_convnext": (64, {aten.native_layer_norm}),
    "test_efficientnet": (64, {BATCH_NORM}),
    "test_resnet": (64, {BATCH_NORM}),
}
"""Resolution in px, and what there is of norms and softmax."""


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every device counts as one with bf16, also for PyTorch, which has no autocast for CUDA where there is no GPU."""
    monkeypatch.setattr("revit.training.device.has_bf16", lambda device: True)
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda: True)


class Operators(TorchDispatchMode):
    """Types of the floating-point inputs and outputs of each call, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, list[torch.dtype], list[torch.dtype]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func.overloadpacket, dtypes_of((args, kwargs)), dtypes_of(result)))
        return result

    def inputs_of(self, operators: set[Any]) -> list[set[torch.dtype]]:
        """Return the types that each call of these operators was given."""
        return [{*inputs} for operator, inputs, _ in self.calls if operator in operators]


def dtypes_of(values: Any) -> list[torch.dtype]:
    tensors = [each for each in tree_leaves(values) if isinstance(each, Tensor)]
    return [each.dtype for each in tensors if each.is_floating_point()]


@contextmanager
def module_outputs() -> Iterator[list[tuple[type, bool, torch.dtype]]]:
    """Class of each module that is called, whether it trains, and type of what it returns, in order."""
    found: list[tuple[type, bool, torch.dtype]] = []

    def note(module: nn.Module, _: Any, output: Tensor) -> None:
        found.append((type(module), module.training, output.dtype))

    hook = register_module_forward_hook(note)
    yield found
    hook.remove()


def config_of(name: str) -> FineTuneConfig:
    resolution, _ = NETWORKS[name]
    config = FineTuneConfig(dataset="digits", steps=1, batch_size=4, resolution=resolution, label_smoothing=0.1)
    return config.with_values({"model.name": name, "model.pretrained": False})


def run_step(config: FineTuneConfig, model: nn.Module) -> list[Tensor]:
    """Take a training step on a GPU without its backward pass, which no fake tensor takes; return logits and losses."""
    found: list[Tensor] = []
    images = torch.zeros(config.batch_size, 1, config.resolution, config.resolution, dtype=torch.uint8)
    batch = Batch(images, torch.zeros(config.batch_size, dtype=torch.int64))
    optimizer = build_optimizer(model, config.optimizer)

    def note_logits(config: FineTuneConfig, logits: Tensor, *rest: Any) -> Tensor:
        found.append(logits)
        return summed_loss(config, logits, *rest)

    with (
        patch("revit.training.fine_tune.summed_loss", note_logits),
        patch.object(Tensor, "backward", lambda loss: found.append(loss)),
        sdpa_kernel(SDPBackend.MATH),  # where there is a GPU, its fused kernels would be taken
    ):
        total, _ = train_step(model, optimizer, batch, 0.1, config, GPU)
    return [*found, total]


@pytest.mark.parametrize("name", NETWORKS)
def test_on_a_gpu_norms_softmax_loss_are_in_float32_between_products_in_bf16(bf16: None, name: str) -> None:
    config = config_of(name)
    model = empty_model(config, 10)
    with FakeTensorMode(allow_non_fake_inputs=True), Operators() as step:
        results = run_step(config, model.to_empty(device=GPU))
    assert {each.dtype for each in (*results, *model.parameters())} == {torch.float32}
    products, islands = step.inputs_of(PRODUCTS), step.inputs_of(IN_FLOAT32)
    assert products == [{torch.bfloat16}] * len(products)
    assert islands == [{torch.float32}] * len(islands)
    assert {each for each, *_ in step.calls} & (IN_FLOAT32 | {BATCH_NORM}) == NETWORKS[name][1] | {aten._log_softmax}
    statistics = [outputs[1:] for operator, _, outputs in step.calls if operator == BATCH_NORM]
    assert statistics == [[torch.float32] * 2] * len(statistics)


@pytest.mark.parametrize("name", NETWORKS)
def test_on_a_gpu_the_head_alone_is_evaluated_in_float32(bf16: None, name: str) -> None:
    config = config_of(name)
    model = empty_model(config, 10).eval()
    with FakeTensorMode(allow_non_fake_inputs=True), Operators() as evaluation:
        images = torch.zeros(4, 3, config.resolution, config.resolution, device=GPU)
        logits = compute_logits(model.to_empty(device=GPU), images, GPU)
    *products, head = evaluation.inputs_of(PRODUCTS)
    assert products == [{torch.bfloat16}] * len(products)
    assert head == {logits.dtype} == {torch.float32}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_memory_estimate_has_the_types_of_a_gpu(bf16: None, name: str) -> None:
    """Its network, on a CPU, returns from each module what autocast for CUDA makes it return."""
    config = config_of(name)
    models = [empty_model(config, 10) for _ in range(2)]
    with FakeTensorMode(allow_non_fake_inputs=True):
        with module_outputs() as expected:
            run_step(config, models[0].to_empty(device=GPU))
        network = _Bf16(models[1].to_empty(device="cpu"))
        with module_outputs() as found:
            network(torch.zeros(4, 3, config.resolution, config.resolution))
    assert found[:-1] == expected, "the last is the estimate's own"


SHORT = {
    "vit_nano": {"resolution": 8, "steps": 40, "num_evals": 1},
    "bit_nano": {"resolution": 16, "steps": 32, "num_evals": 1},
}
LONG = {"resolution": 28, "steps": 200}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *SHORT.items(),
        *(pytest.param(name, LONG | {"seed": seed}, marks=pytest.mark.long) for name in SHORT for seed in range(5)),
    ],
)
def test_a_trial_in_bf16_is_as_accurate_as_one_in_float32(
    small: FineTuneConfig, train: Callable[..., Any], request: pytest.FixtureRequest, name: str, values: dict[str, Any]
) -> None:
    """The accuracies are within 2 points, on a CPU, whose autocast has norms in bf16, too. All results are float32."""
    config = small.with_values({"model.name": name, **values, "optimizer.lr": 0.03 if name == "vit_nano" else 0.01})
    exact, _ = train(config)
    request.getfixturevalue("bf16")
    with module_outputs() as outputs:
        found, listener = train(config)
    assert {trains for _, trains, dtype in outputs if dtype == torch.bfloat16} == {True, False}
    assert {each.dtype for each in found.model.parameters()} == {torch.float32}
    assert found.predictions.loss.dtype == found.predictions.confidence.dtype == "float32"
    assert len(listener.curve("val_loss")) == config.num_evals
    accuracies = [each.metrics["test_accuracy"] for each in (exact, found)]
    print("test accuracy in float32, in bf16:", *accuracies)
    assert min(accuracies) > 0.4, "both have learned"
    assert abs(accuracies[0] - accuracies[1]) <= 0.02
    assert exact.metrics["test_loss"] != found.metrics["test_loss"], "in another precision"
